"What the other wings stand on: checks of arguments, files that are whole or not there"
