"From raw series to the input of a network, and from its scores to answers"
