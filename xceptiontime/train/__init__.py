"The fastai Learner around XceptionTime, and what goes with a training"
