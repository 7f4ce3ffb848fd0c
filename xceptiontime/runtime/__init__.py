"Prediction with a trained network: all that a device or a server needs, without fastai"
from .predictor import Predictor
from .hub import model_folder
from .folder import register_arch
from . import adapt # noqa: F401 - gives each Predictor `adapt`
from .recordings import RecordingAnswer
