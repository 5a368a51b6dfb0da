"""What this machine has, found without loading a backend: cores, memory, NVIDIA GPUs, speed."""
