"From files and recordings to batches"
