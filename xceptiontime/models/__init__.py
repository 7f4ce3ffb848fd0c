"The networks: XceptionTime, and InceptionTime to compare with"
from .inception import InceptionTime
from .xceptiontime import XceptionTime
