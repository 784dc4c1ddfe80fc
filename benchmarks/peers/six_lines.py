import sys

import numpy as np
from sentence_transformers import SentenceTransformer

model, vectors = SentenceTransformer(sys.argv[1], device="cpu"), np.load(sys.argv[2])
query = model.encode(sys.argv[3], normalize_embeddings=True, prompt=sys.argv[4] if len(sys.argv) > 4 else None)
print(np.argsort(-(vectors @ query))[:10].tolist())
