"The same numbers as the plain layers in less time on a CPU; entered by `door` alone"
