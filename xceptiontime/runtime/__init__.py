"Prediction with a trained network: all that a device or a server needs, without fastai"
from .predictor import Predictor, register_arch
