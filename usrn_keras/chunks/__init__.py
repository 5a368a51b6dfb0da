"""Work on a list of images that processes share, chunk by chunk. Knows nothing of segmentation."""

from usrn_keras.chunks.chunk_answers import ChunkAnswers
from usrn_keras.chunks.dask_pool import DaskPool, open_pool
from usrn_keras.chunks.map_chunks import Work, chunk_size, cut, map_chunks

__all__ = ["ChunkAnswers", "DaskPool", "Work", "chunk_size", "cut", "map_chunks", "open_pool"]
