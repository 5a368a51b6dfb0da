"""Share a trained model: the folder that is pushed to the Hugging Face Hub, with its model card."""
