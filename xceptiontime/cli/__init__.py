"The command `xceptiontime`"
from .run import main
