"""The names of the files that a model server looks for: `export` writes them, `serving` reads them.

BASE/models.config, ...             what a server is started with, beside the versions
BASE/VERSION/saved_model.pb         a version
BASE/VERSION/assets.extra/...       what was written with it
"""

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
LABELS = "labels.json"  # what each label stood for before; `charflow promote` keeps it
SERVER_FILES = (MODELS, BATCHING, MONITORING, LABELS)

GRAPH = "saved_model.pb"
MODEL_CARD = "assets.extra/model_card.json"
WARM_UP = "assets.extra/tf_serving_warmup_requests"  # TensorFlow Serving's name: g3doc/saved_model_warmup.md
