"Why a network gives an answer, and how sure it is"
