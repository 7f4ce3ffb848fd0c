"Many data sets, and results beside published ones"
