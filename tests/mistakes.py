"The mistakes of tests/test_mistakes.py and nbs/81_mistakes.ipynb: the calls and their errors"
import builtins, json, os, socket, tempfile, warnings
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xceptiontime.runtime.evaluation import in_training

setup = '''
rng = np.random.default_rng(0)
X = rng.normal(size=(40,3,50)).astype(np.float32)      # 40 series, 3 channels, 50 steps
y = np.array(['rest','fist'])[np.arange(40)%2]
numbers = rng.normal(size=40)
labels = (rng.uniform(size=(40,3))>.5).astype(int)
splits = np.arange(30), np.arange(30,40)
load = TSDataLoaders.from_arrays
dls = load(X, y, splits)
learn = ts_learner(dls, nf=2, seed=0)
predictor = learn.predictor()
regression = ts_learner(load(X, numbers, splits), nf=2, seed=0)
multilabel = ts_learner(load(X, labels, splits), nf=2, seed=0)
at_200 = ts_learner(load(X, y, splits, rate=200), nf=2, seed=0).predictor() # of 200 Hz
people = np.arange(40)//10
'''

def with_value(x, value):
    "The series `x` with one value replaced: in series 2, channel 1, step 3"
    x = x.copy()
    x[2,1,3] = value
    return x

def edit(folder, **settings):
    "The model folder with other settings in its config.json"
    f = Path(folder)/'config.json'
    f.write_text(json.dumps({**json.loads(f.read_text()), **settings}))
    return folder

def without(folder, name):
    "The model folder without one of its files"
    (Path(folder)/name).unlink()
    return folder

def cut(folder, name):
    "The model folder with a file shortened by 50 bytes"
    f = Path(folder)/name
    f.write_bytes(f.read_bytes()[:-50])
    return folder

def flip(folder, name):
    "The model folder with the last bit of a file flipped"
    f = Path(folder)/name
    data = f.read_bytes()
    f.write_bytes(data[:-1]+bytes([data[-1]^1]))
    return folder

def grow(folder, name):
    "The model folder with a sparse file of a terabyte, which takes no space on the disk"
    os.truncate(Path(folder)/name, 2**40)
    return folder

def diverged(predictor):
    "The predictor with a weight that is NaN"
    predictor.model.head[-2].bias.data[0] = float('nan')
    return predictor

def beside_training(learn, ask):
    "The result of `ask()` in another thread while this thread trains the network"
    with in_training(learn.model), ThreadPoolExecutor(1) as other: return other.submit(ask).result()

def written(name, text):
    "The name of a new file with `text`"
    Path(name).write_text(text)
    return name

def silent_server():
    "The address of a local server that accepts requests and never answers"
    server = socket.create_server(('127.0.0.1', 0))
    silent.append(server)
    return f'http://127.0.0.1:{server.getsockname()[1]}'

silent = [] # keeps the servers open

def in_latin(name):
    "The name of a new parquet file with a column of names that are not UTF-8"
    import pyarrow as pa
    from pyarrow import parquet
    names = pa.Array.from_buffers(pa.string(), 2, pa.array(['größer'.encode('latin-1'), b'up']).buffers())
    parquet.write_table(pa.table({'x': pa.array([1.,2.]), 'how': names}), name)
    return name

def annotated(name, *notes):
    "The name of a new EDF file with annotations (onset, duration, text), seconds"
    import edfio
    signal = edfio.EdfSignal(np.zeros(400), 200, label='emg', physical_range=(-1,1))
    edfio.Edf([signal], annotations=[edfio.EdfAnnotation(*n) for n in notes]).write(name)
    return name

# A mistake is its name, the call (one line or more) and the last line of the traceback. `...` stands for a beginning
# that is not compared. The message may go on after the text here.
CASES = r'''
## The series

# too many dimensions
load(X[None], y, splits)
ValueError: X: expected series as (samples, channels, length), got shape (1, 40, 3, 50)

# a single number in place of series
predictor.predict(3.)
ValueError: X: expected series as (samples, channels, length), got shape ()

# channels last
predictor.predict(X.transpose(0,2,1))
ValueError: ... X.transpose(0, 2, 1) turns it

# channels last, in a loader
dls.test_dl(X.transpose(0,2,1))
ValueError: X: expected 3 channels, got 50

# channels last, with channel names
load(X.transpose(0,2,1), y, splits, channels=['x','y','z'])
ValueError: ... if X is (samples, length, channels), X.transpose(0, 2, 1) turns it

# a network with a weight that is NaN
diverged(Predictor.from_pretrained(folder)).predict(X)
ValueError: X: expected series with finite outputs of the network, got nan for series 0 with values from -2.

# channels last, all series of the same length
load(rng.normal(size=(40,500,3)), y, splits)
UserWarning: X: expected (channels, length) of each series, got 500 channels of 3 steps; if those are 500 steps of 3
    channels, X.transpose(0, 2, 1) turns them

# a length channel for series of equal length
load(X, y, splits, length_channel=True)
UserWarning: length_channel: expected training series of unequal length, got 50 steps in each; the channel tells the
    network nothing

# another number of channels
learn.get_X_preds(X[:,:2])
ValueError: X: expected 3 channels, got 2

# a series of one channel for a model of three
learn.predict(X[0,0])
ValueError: X: expected 3 channels, got 1

# words in an array of objects
load(np.where(X>2, 'high', X.astype(object)), y, splits)
TypeError: X: expected real numbers, got str values

# a missing series in an array of objects
load(pd.Series([*X[:39], None]), y, splits)
ValueError: X[39]: expected a series, got None

# text in place of numbers
predictor.predict(X.astype(str))
TypeError: X: expected real numbers, got text

# complex numbers
predictor.predict(np.fft.rfft(X))
TypeError: X: expected real numbers, got complex

# dates in place of numbers
load(X.astype('datetime64[s]'), y, splits)
TypeError: X: expected real numbers, got dates

# no training series
load(X[:0], y[:0])
ValueError: X: expected 1 or more series

# series without time steps
load(X[:,:,:0], y, splits)
ValueError: X: expected 1 or more channels and steps, got shape (40, 3, 0)

# one series without time steps
predictor.predict([X[0], X[1,:,:0]])
ValueError: X[1]: expected a length of 1 or more, got shape (3, 0)

# a list of series with different numbers of channels
predictor.predict([X[0], X[1,:2]])
ValueError: X[1]: expected a series (channels, length) with 3 channels as in X[0]

# NaN in training
load(with_value(X, np.nan), y, splits)
ValueError: ... got 1 value that is NaN in 1 of 30 series, the first in series 2, channel 1, step
    3

# NaN in validation
load(with_value(X, np.nan)[::-1], y, splits)
ValueError: ... the first in series 37, channel 1, step 3

# NaN at prediction
learn.get_X_preds(with_value(X, np.nan))
ValueError: ... got 1 value that is NaN in 1 of 40 series

# a series with no value but NaN
predictor.predict(np.where(np.arange(40)[:,None,None]==7, np.nan, X))
ValueError: X: expected a value in each series, got 1 of 40 series without any, the first is series 7

# infinity
load(with_value(X, -np.inf), y, splits)
ValueError: ... infinite or too large for float32

# numbers too large for float32
predictor.predict(X.astype(float)*1e300)
ValueError: ... infinite or too large for float32

# different numbers that are equal in float32
load(473977420+np.arange(6000).reshape(40,3,50)%60, y, splits)
ValueError: X: expected values that float32 can tell apart (subtract an offset first), got 473977420 and 473977421, both
    473977408 there, in channel 0

# different numbers that are equal in float32, at prediction
predictor.predict(473977420+np.arange(6000).reshape(40,3,50)%60)
ValueError: X: expected values that float32 can tell apart (subtract an offset first), got 473977420 and 473977421, both
    473977408 there, in channel 0

# one series in place of several
learn.get_X_preds(X[0])
ValueError: X: expected 3 channels, got 1 in shape (3, 1, 50); two dimensions are (samples, length) of one channel,
    X[None] is one series of 3 channels

# a channel with another name
ts_learner(load([pd.DataFrame(x.T, columns=['x','y','z']) for x in X], y, splits), nf=2).get_X_preds(
    [pd.DataFrame(x.T, columns=['x','y','up']) for x in X])
ValueError: X[0]: expected the columns 'x', 'y', 'z' as in the model, got 'x', 'y', 'up'

# several series in place of one
learn.predict(X)
ValueError: item: expected one series, (channels, length) or (length,), got shape (40, 3, 50)

## The targets

# fewer targets than series
load(X, y[1:], splits)
ValueError: y: expected 40 targets for as many series, got 39

# no targets
load(X, None, splits)
TypeError: y: expected a target for each series, got None

# a missing label
load(X, [None, *y[1:]], splits)
ValueError: y: expected a target for each series, got None for series 0, 1 such in all; splits= of
    your own can leave it out

# a missing label, without splits
load(X, pd.Series([*y[:-1], None]))
ValueError: y: expected a target for each series, got nan for series 39, 1 such in all; splits= of
    your own can leave it out

# a missing label in a list of lists
load(X, [['rest'], None, ['rest','fist'], ['fist']]*10)
ValueError: y: expected a target for each series, got None for series 1, 10 such in all

# a missing label in `get_splits`
get_splits([None, *y[1:]])
ValueError: y: expected a target for each sample, got None for sample 0, 1 such in all

# lists of one label each
load(X, [[o] for o in y], splits)
ValueError: y: expected one label a series, or lists of several, got 30 lists of one; [o[0] for o in
    y] makes classes, task='multilabel' labels

# lists of one label each, for recordings
TSDataLoaders.from_recordings(list(X[:10]), [['rest'],['fist']]*5, 20)
ValueError: labels: expected one label a recording, or lists of several, got 10 lists of one; [o[0] for o in labels]
    makes classes, task='multilabel' labels

# lists with the same number of labels each
load(X, [['rest','left'],['fist','left']]*20, splits)
UserWarning: y: lists of 2 for each of 30 series are learned as labels, of which each has 2 (multi-label); [o[0] for o
    in y] takes the first as classes

# whole numbers as floats
load(X, np.arange(40)%5*1., splits)
UserWarning: y: floats that are all whole numbers are learned as numbers (regression); task='classification' makes them
    classes

# many different integers
infer_task(np.arange(40))
UserWarning: y: 40 different integers in 40 series are learned as classes; task='regression' learns them as numbers

# a label for each time step
load(X, rng.integers(0, 2, (40,50)), splits)
ValueError: y: expected a target for each series, got one for each of its 50 steps;
    TSDataLoaders.from_recordings(X, y, length) makes windows with a label each

# bytes that are not UTF-8 text
load(X, [b'\xff', b'rest']*20, splits)
ValueError: y: expected text, got bytes that are not UTF-8, b'\xff'; np.char.decode(y, 'latin-1')
    decodes others

# strings and numbers as labels
load(X, ['rest', 1]*20, splits)
TypeError: ... labels of one kind, strings, integers or booleans, got int, str

# dates as labels
load(X, np.arange(40).astype('datetime64[D]'), splits)
TypeError: y: expected class labels (strings, integers or booleans), got dates

# complex numbers as targets
load(X, numbers+1j, splits)
TypeError: ... got complex numbers

# a single class
load(X, ['rest']*40, splits)
ValueError: y: expected 2 or more classes in the training series, got ['rest']

# a single series
load(X[:1], y[:1])
ValueError: X: expected 2 or more series to divide into training and validation, got 1

# a class that occurs only in validation
load(X, np.where(np.arange(40)<30, y, 'wave'), splits)
ValueError: y (validation split): expected labels among the 2 classes 'fist', 'rest', got 'wave' for series 0

# a new label at prediction
learn.get_X_preds(X[:1], ['wave'])
ValueError: y: expected labels among the 2 classes 'fist', 'rest', got 'wave' for series 0

# fewer targets than series, at prediction
learn.get_X_preds(X[:3], y[:2])
ValueError: y: expected 3 targets for as many series, got 2

# fractions as classes
load(X, numbers, splits, task='classification')
TypeError: y: expected class labels (strings, integers or booleans), got numbers that are not all whole

# a column of 0 and 1 in place of labels
load(X, labels[:,:1], splits)
ValueError: ... got shape (30, 1); y[:,0] makes classes

# two columns of labels
load(X, np.stack([y, y], 1), splits)
ValueError: y: expected one label a series, got shape (30, 2)

# text in a regression
load(X, y, splits, task='regression')
TypeError: y: expected numbers, got text

# NaN as a target
load(X, np.where(np.arange(40)==3, np.nan, numbers), splits)
ValueError: y: expected a target for each series, got nan for series 3, 1 such in all

# NaN as a target, in validation
load(X, np.where(np.arange(40)==33, np.nan, numbers), splits)
ValueError: y: expected a target for each series, got nan for series 33, 1 such in all

# infinity as a target
load(X, np.where(np.arange(40)==3, np.inf, numbers), splits)
ValueError: y: expected finite numbers, got inf for series 3

# the same target for all series
load(X, np.full(40, .5), splits)
ValueError: y: expected targets that differ, got 0.5 for every training series

# different targets that are equal in float32
load(X, numbers+1e9, splits)
ValueError: ... subtract an offset first

# targets with three dimensions
load(X, rng.normal(size=(40,2,2)), splits)
ValueError: y: expected numbers as (samples,) or (samples, outputs), got shape (30, 2, 2)

# another number of outputs, at prediction
regression.get_X_preds(X, rng.normal(size=(40,2)))
ValueError: y: expected numbers as (samples), as in training, got shape (40, 2)

# counts in place of 0 and 1
load(X, labels*2, splits)
ValueError: y: expected 0 and 1 in two dimensions of integers, got 2; task='regression' learns them
    as numbers

# a label that occurs only in validation
load(X, [['a'],['b','a']]*15+[['c']]*10, splits)
ValueError: y (validation split): expected labels among the 2 labels 'a', 'b', got 'c' for series 0

# more columns than names of labels
load(X, labels, splits, vocab=['a','b'])
ValueError: y (training split): expected 0 and 1 as (samples, 2 labels), got shape (30, 3)

## Task and vocabulary

# an unknown task
load(X, y, splits, task='clustering')
ValueError: task: expected one of ['classification', 'multilabel', 'regression'], got 'clustering'

# a class given twice
load(X, y, splits, vocab=['rest','fist','rest'])
ValueError: vocab: expected each class once, got 'rest' 2 times

# a missing class
load(X, y, splits, vocab=['rest','wave'])
ValueError: y (training split): expected labels among the 2 classes 'rest', 'wave', got 'fist' for series 1

# a single class
load(X, y, splits, vocab=['rest'])
ValueError: vocab: expected 2 or more classes, got ['rest']

# classes of another type
load(X, y, splits, vocab=[0,1])
ValueError: ... expected labels among the 2 classes 0, 1, got 'rest' for series 0

# classes for a regression
load(X, numbers, splits, task='regression', vocab=['a','b'])
ValueError: vocab: expected none for a regression

# one name for two outputs
load(X, rng.normal(size=(40,2)), splits, target_names=['depth'])
ValueError: target_names: expected one for each of 2 outputs

# a unit for classes
load(X, y, splits, units='m')
ValueError: target_names, units: expected these for a regression only

## Splits and loaders

# splits that overlap
load(X, y, (np.arange(30), np.arange(29,40)))
ValueError: splits: expected no index in both train and valid, got 29

# an index beyond the last series
load(X, y, (np.arange(30), np.arange(30,41)))
ValueError: valid: expected indices from 0 to 39, got 40

# negative indices
load(X, y, (np.arange(30), [-1]))
ValueError: valid: expected indices from 0 to 39, got -1

# boolean masks as splits
load(X, y, (np.arange(40)<30, np.arange(40)>=30))
ValueError: train: expected indices, got a boolean mask

# an empty split
load(X, y, (np.arange(40), []))
ValueError: valid: expected one or more indices, got none

# an index given twice
load(X, y, ([0,1,1,2], [3]))
ValueError: train: expected each index once, got more of 1

# a group in both splits
load(X, y, splits, groups=np.arange(40)%4)
ValueError: splits: expected no group in both train and valid, got 0, 1, 2, 3

# another number of groups than series
load(X, y, splits, groups=[1,2])
ValueError: groups: expected one for each of the 40 samples

# a single index array as splits
load(X, y, np.arange(30))
ValueError: splits: expected a tuple of index arrays

# a validation share above 1
get_splits(y, valid_size=1.5)
ValueError: valid_size: expected a share between 0 and 1

# an unknown validation group
get_splits(y, groups=np.arange(40)%4, valid_groups=[7])
ValueError: valid_groups: expected some of the groups 0, 1, 2, 3, got 7

# an array in place of a dataset
dls.valid.new(X)
TypeError: dataset: expected a TSDataset, got 'ndarray'; dls.test_dl(X) makes a loader of series

# a batch size of 0
load(X, y, splits, bs=0)
ValueError: bs: expected a whole number of 1 or more, got 0

# a fractional batch size
load(X, y, splits, bs=2.5)
ValueError: bs: expected a whole number of 1 or more, got 2.5

# an unknown keyword
load(X, y, splits, batch_size=8)
TypeError: ... unexpected keyword argument 'batch_size'

# an unknown kind of scaling
load(X, y, splits, scale='batch')
ValueError: scale: expected one of

# an unknown treatment of missing values
load(X, y, splits, missing='drop')
ValueError: missing: expected one of

# another number of weights than series
load(X, y, splits, weights=[1,2])
ValueError: weights: expected one for each of 40 series, got shape (2,)

# negative weights
load(X, y, splits, weights=-np.ones(40))
ValueError: weights: expected finite numbers of 0 or more

# a class without weight
load(X, y, splits, weights={'rest':2})
ValueError: weights: expected a number for each class, got none for 'fist'

# balanced classes in a regression
load(X, numbers, splits, weights='balanced')
ValueError: weights: expected a number for each series, as classes have no weights in regression

## Learner and training

# an array in place of loaders
ts_learner(X)
TypeError: dls: expected TSDataLoaders, got ndarray

# the name of a network in place of its class
ts_learner(dls, 'XceptionTime2')
TypeError: arch: expected a class such as XceptionTime, got 'XceptionTime2'

# an unknown argument of the network
ts_learner(dls, width=4)
TypeError: ts_learner: expected arguments of XceptionTime (nf,

# an unknown keyword
ts_learner(dls, metric='accuracy')
TypeError: ... or of Learner, got 'metric'

# an unknown head
ts_learner(dls, head='softmax')
ValueError: head: expected

# an unknown metric
ts_learner(dls, metrics=['acuracy'])
ValueError: metrics: expected for classification some of ['accuracy', 'balanced_accuracy',
    'f1_macro', 'roc_auc'], or others as objects, got 'acuracy'

# a metric of another task
ts_learner(dls, metrics='rmse')
ValueError: ... or others as objects, got 'rmse'

# fastai's metric of another task
ts_learner(regression.dls, metrics=error_rate)
ValueError: metrics: expected metrics for regression, got error_rate, which is for classification

# a splitter that is not a function
ts_learner(dls, splitter=3)
TypeError: splitter: expected a function such as body_and_head, got 3

# an interpretation of classes for a regression
ClassificationInterpretation.from_learner(regression)
AttributeError: vocab: expected data with classes, got regression; Interpretation and learn.show_results work
    for numbers

# a classification report for several labels
ClassificationInterpretation.from_learner(multilabel).print_classification_report()
TypeError: vocab: expected classes, of which a series has one, got labels;
    sklearn.metrics.classification_report(targets, probs>.5) is a report on labels

# a metric that raises an error
ts_learner(dls, metrics=lambda out,y: out[:,5].mean())
ValueError: metrics: expected a metric that fits classification, got an error when tried: IndexError

# `roc_auc` with a class missing in validation
ts_learner(load(X, y, (splits[0], np.arange(30,40,2))), metrics='roc_auc')
ValueError: metrics: expected each class in validation for 'roc_auc', got 1 of 2

# a loss of another task
ts_learner(dls, loss_func=nn.MSELoss())
ValueError: loss_func: expected a loss for classification, got MSELoss, which is for regression

# a loss that takes logarithms of probabilities
ts_learner(dls, loss_func=nn.NLLLoss())
ValueError: loss_func: expected a loss of scores, got NLLLoss, which is one of probabilities or their logarithms;
    nn.CrossEntropyLoss() takes scores

# a metric to monitor that is not recorded
learn.fit(1, cbs=SaveModelCallback(monitor='acc'))
ValueError: monitor: expected one of 'train_loss', 'valid_loss', 'accuracy', got 'acc'

# a loss for another number of classes
ts_learner(dls, loss_func=nn.CrossEntropyLoss(weight=torch.ones(3)))
ValueError: loss_func: expected a loss that fits classification, got an error when tried

# a class of loss in place of an object
ts_learner(dls, loss_func=nn.CrossEntropyLoss)
TypeError: loss_func: expected a loss such as nn.CrossEntropyLoss()

# a loss that gives NaN
ts_learner(dls, loss_func=lambda out,y: out.sum()*np.nan)
ValueError: ... it gave nan, not one finite number with a gradient

# a learning rate of NaN
learn.fit_one_cycle(1, np.nan)
ValueError: lr: expected a finite number of 0 or more, got nan

# a negative learning rate
learn.fit(1, -.1)
ValueError: lr: expected a finite number of 0 or more, got -0.1

# a learning rate that is far too high
learn.fit(1, 1e30)
FloatingPointError: ... in epoch 0, validation batch 0; the weights are back at those of the last
    batch whose loss was finite

# a loss that becomes NaN
learn.fit(2, cbs=spoil)
FloatingPointError: loss: expected a finite number, got nan in epoch 1, batch 0

# losses without targets
learn.get_X_preds(X, with_loss=True)
ValueError: y: expected targets for with_loss=True, got None

# two callbacks that mix series
learn.fit(1, cbs=[TSMixUp(), TSCutMix()])
ValueError: cbs: expected one callback that mixes series, such as TSMixUp, got TSMixUp, TSCutMix

# a mixing callback for images
learn.fit(1, cbs=CutMix())
ValueError: cbs: expected TSCutMix to mix series, got CutMix, which is for images

# a callback for recurrent networks
learn.fit(1, cbs=ModelResetter())
TypeError: cbs: expected callbacks for any network, got ModelResetter for recurrent ones

# a checkpoint of a run with another seed
for seed in (0,1): ts_learner(dls, nf=1, seed=seed, cbs=Checkpoint('run')).fit(1)
ValueError: ... expected a checkpoint of the run that is now started, got one that differs in seed (0, now 1)

# losses for a loader without targets
learn.get_preds(dl=dls.test_dl(X), with_loss=True)
ValueError: dl: expected series with targets for with_loss=True, got none; test_dl takes a y

## Predictions and model folders

# a batch size of 0
predictor.predict(X, bs=0)
ValueError: bs: expected a whole number of 1 or more, got 0

# probabilities of a regression
regression.predictor().predict_proba(X)
TypeError: predict_proba: expected a task with classes or labels, got regression

# adaptation with an unknown label
predictor.adapt(X, ['rest','jump']*20)
ValueError: y: expected labels among the 2 classes 'fist', 'rest', got 'jump' for series 1

# adaptation without one of the classes
predictor.adapt(X[:4], ['rest']*4)
UserWarning: y: expected series of each of 2 classes to adapt to, got none of ['fist']: the new model may forget them

# a prediction while another thread trains
beside_training(learn, lambda: learn.predict(X[0]))
RuntimeError: model: expected a network that no other thread is training, got one in training; a model opened
    by Predictor.from_pretrained can predict meanwhile

# a missing folder
Predictor.from_pretrained('nowhere')
FileNotFoundError: folder: expected a model folder, got nowhere, which is not one

# a list of folders
Predictor.from_pretrained(['m1','m1'])
TypeError: folder: expected one model folder or the name of one model on the Hugging Face Hub, got
    ['m1', 'm1']

# a folder without a model
Predictor.from_pretrained('.')
FileNotFoundError: ... expected config.json in the model folder

# a file in place of the folder
Predictor.from_pretrained(folder/'config.json')
FileNotFoundError: ... which is not one

# a missing file of weights
Predictor.from_pretrained(without(folder, 'model.safetensors'))
FileNotFoundError: ... expected model.safetensors in the model folder

# a missing config.json
Predictor.from_pretrained(without(folder, 'config.json'))
FileNotFoundError: ... expected config.json in the model folder

# a temperature out of range
Predictor.from_pretrained(edit(folder, task=dict(name='classification', vocab=['rest','fist'], temperature=1e-45)))
ValueError: ... temperature: expected a number from 1e-09 to 1e+09, as calibration may find, got 1e-45

# a truncated file of weights
Predictor.from_pretrained(cut(folder, 'model.safetensors'))
ValueError: ... expected a whole safetensors file

# damaged weights, or the weights of another training
Predictor.from_pretrained(flip(folder, 'model.safetensors'))
ValueError: ... expected the weights that config.json was written with, by its fingerprint, got others; if these are the
    right ones, delete the line 'fingerprint' of config.json

# a file of weights that is too large
Predictor.from_pretrained(grow(folder, 'model.safetensors'))
ValueError: ... bytes, as config.json says, got 1099511627776

# saving a network after a training that diverged
diverged(Predictor.from_pretrained(folder)).save_pretrained('new')
ValueError: ... got NaN or infinity; a training that diverged gives such weights, a lower learning rate helps

# a truncated config.json
Predictor.from_pretrained(cut(folder, 'config.json'))
ValueError: ... expected JSON

# a model of a later version
Predictor.from_pretrained(edit(folder, format=99))
ValueError: ... or older, got 99, written by xceptiontime

# an unknown architecture
Predictor.from_pretrained(edit(folder, architecture='os.system'))
ValueError: ... as 'architecture', got 'os.system'

# arguments that do not fit the weights
Predictor.from_pretrained(edit(folder, arguments=dict(c_in=3, c_out=2, nf=8)))
ValueError: ... as config.json says, got F32

# an unknown task
Predictor.from_pretrained(edit(folder, task=dict(name='clustering')))
ValueError: ... as 'task.name', got 'clustering'

# more classes than outputs of the network
Predictor.from_pretrained(edit(folder, task=dict(name='classification', vocab=['a','b','c'])))
ValueError: ... expected 3 scores, as the task has, got 2

# missing settings
Predictor.from_pretrained(edit(folder, preprocess=None))
ValueError: ... expected settings by name as 'preprocess', got None

# an unknown decision step
Predictor.from_pretrained(edit(folder, decisions=[dict(step='Velocity')]))
ValueError: ... decisions: expected steps among ['Reject', 'Majority', 'Hold', 'DeadBand'], got 'Velocity'

# a decision step for another task
predictor.decisions = DeadBand(.5)
TypeError: decide: expected steps for a classification task, got DeadBand(width=0.5, to=0.0)

# an unknown class of rest
predictor.decisions = Reject(.8, to='relax')
ValueError: to: expected one of the classes 'fist', 'rest', got 'relax'

# saving in a folder with other files
Path('thesis').mkdir(); Path('thesis/chapter.tex').touch()
learn.save_pretrained('thesis')
FileExistsError: ... expected a new or empty folder or one that holds a model, got thesis

## Estimators of scikit-learn

# weights that leave one class
XceptionTimeClassifier(epochs=1).fit(X, y, sample_weight=y=='fist')
ValueError: sample_weight, class_weight: expected 2 or more classes of a weight above 0, got one class, 'fist'

# a negative class weight
XceptionTimeClassifier(epochs=1, class_weight={'fist': -1}).fit(X, y)
ValueError: class_weight: expected 0 or a number above 0, got -1

# weights that are all 0
XceptionTimeRegressor(epochs=1).fit(X, numbers, sample_weight=np.zeros(40))
ValueError: Sample weights must contain at least one non-zero number.

# too few series for validation
XceptionTimeClassifier(epochs=1, early_stopping=True).fit(X[:10], y[:10])
ValueError: validation_fraction: expected a share of the 10 series that leaves 2 or more in each part, got 0.1, which
    is 1

# a class of one series, with early stopping
XceptionTimeClassifier(epochs=1, early_stopping=True).fit(X, ['open', *y[1:]])
ValueError: y: expected 2 or more series of each class with early_stopping=True, one to train on and one to validate on,
    got 1 of 'open'

# a warm start with other classes
XceptionTimeClassifier(epochs=1, nf=2, warm_start=True).fit(X, y).fit(X, np.where(y=='rest', 'open', y))
ValueError: y: expected the classes that warm_start=True goes on with, ['fist', 'rest'], got ['fist', 'open']

# a warm start with a wider network
XceptionTimeClassifier(epochs=1, nf=2, warm_start=True).fit(X, y).set_params(nf=4).fit(X, y)
ValueError: warm_start: expected the networks of the fit before, n_estimators=1, nf=2, ks=40, got n_estimators=1, nf=4,
    ks=40

## Files and recordings

# a missing file
read_series('nothing.ts')
FileNotFoundError: nothing.ts

# an unknown file ending
read_series(written('series.xyz', '1'))
ValueError: series.xyz

# a word among the numbers
read_series(written('a.tsv', 'rest\t1\t2\nrest\t1\tfast\n'))
ValueError: a.tsv

# an id in a table with a row per series
read_series(written('wide.csv', 'id,how,t0,t1\n1,up,1.5,2\n2,down,3,4\n'), label='how', id='id')
UserWarning: id: expected several rows in each series, a row for each time step, got one row in each of 2

# a quotation mark without its pair
read_series(written('a.arff', "@relation a\n@attribute x numeric\n@attribute c {up,down}\n@data\n1,'up\n"))
ValueError: a.arff, line 5: expected fields separated by commas, got "'up"

# a text file as parquet
read_series(written('a.parquet', 'x,y\n1,2\n'))
ValueError: a.parquet: expected a parquet file, got

# parquet with text that is not UTF-8
read_series(in_latin('a.parquet'), label='how')
ValueError: a.parquet: expected text in UTF-8 in column 'how', got

# a download address without https
get_ucr('Gestures', 'sets', url='http://example.com')
OSError: url: expected 'Gestures', got http://example.com/Gestures.zip (url: expected an address that starts with
    https://, got 'http://example.com/Gestures.zip')

# a download from a server that does not answer
get_ucr('Gestures', 'sets', url=silent_server(), max_seconds=.2)
OSError: ... (max_seconds: expected the archive in that time, got a part of it)

# a path as the name of a data set
get_ucr('../Gestures')
ValueError: name: expected a data set's name of letters, digits, - and _, got '../Gestures'

# a recording with time steps first
sliding_windows(X[0].T, 10)
ValueError: ... if that is (time, channels), x.T turns it

# ids that repeat for each subject
from_frame(pd.DataFrame({'trial': [1,1,2,2,1,1,2,2], 'emg': rng.normal(size=8)}), id='trial')
UserWarning: id: expected the rows of each series together, got '1' in 2 places (2 of 2 series); they were joined. If
    ids repeat, id=['subject', 'trial'] tells them apart by several columns; else time= sorts the rows

# ids that repeat for each subject, with times
from_frame(pd.DataFrame({'trial': [1,1,1,1], 't': [0,1,0,1], 'emg': rng.normal(size=4)}), id='trial', time='t')
ValueError: df: expected one row a time within a series (where ids repeat, id= takes several columns), got 0 twice in
    row 2

# a column of persons taken for a channel, in a long table
from_frame(pd.DataFrame({'trial': np.repeat(range(4), 10), 'person': np.repeat([1,2], 20), 'emg': rng.normal(size=40)}),
    id='trial')
UserWarning: columns: expected measurements, got one value in each of 4 series, 2 different in all, in 'person', taken
    for a channel; id=, time= or groups= says what it is, columns= names the channels alone

# a column of row numbers taken for a step, in a wide table
from_frame(pd.DataFrame(X[:,0]).assign(number=range(40)))
UserWarning: columns: expected measurements, got 0 to 39, which count the rows, in 'number', taken for a step;
    groups=, label= or target= says what it is, columns= names the steps alone

# time steps that were sorted as text
from_frame(pd.DataFrame(X[:,0,:4], columns=['t1','t10','t11','t2']))
UserWarning: columns: expected time steps in the order of their numbers, got 't11' before 't2'; columns= names the
    steps in their order

# names of channels in another order than the columns of DataFrames
load([pd.DataFrame(x[:2].T, columns=['hr','acc']) for x in X], y, splits, channels=['acc','hr'])
ValueError: channels: expected the names in the data, ['hr', 'acc'], got ['acc', 'hr']; the columns of the data
    decide about names and order

# recordings of one channel as the rows of an array
sliding_windows(X[:,0], 10, labels=y)
ValueError: labels: expected one for a recording (channels, time) of shape (40, 50), got 40; list(X) makes a
    recording of each row of X, [labels] are several labels of one recording

# a recording that is shorter than a window
sliding_windows([X[0],X[1,:,:8]], 10, labels=['walk','jump'])
UserWarning: length: expected recordings of 10 samples or more, got 1 of 2 that are shorter, the shortest of 8, which
    give no window; no window has the label 'jump'; pad= keeps them

# a label per row in a table of a recording
from_frame(pd.DataFrame(X[0].T).assign(activity=['sit']*25+['walk']*25), label='activity')
UserWarning: X: expected a series in each row, got 50 rows of 3 steps, in which a label stays the same for 25
    rows: a recording with a label per step?

# windows of a single recording without splits
load_df = TSDataLoaders.from_df
load_df(pd.DataFrame(X[0].T).assign(activity=['sit']*25+['walk']*25), label='activity', length=10)
ValueError: splits: expected index arrays where all windows are of one recording or group, got None;
    splits=dict(ordered=True) validates on its last part

# rows without a label
read_recordings(pd.DataFrame(X[0].T).assign(activity=['sit']*25+[None]*25), label='activity')
UserWarning: label: expected one in each row, got none in 25 of 50; those are left out, and no window runs across them

# a gap in time
read_recordings(pd.DataFrame(X[0].T).assign(t=[*np.arange(25)/50, *np.arange(50, 75)/50]), time='t')
UserWarning: time: expected even steps, of 0.02 as most are, got 1 of 49 that are not, as 0.52; windows run across gaps,
    id= can name each stretch without one

# a comma as decimal mark
read_csv(written('de.csv', 'x;y\n1,5;2\n'), sep=';')
ValueError: ... got '1,5'; decimal=',' reads a comma before the fraction

# a semicolon as separator
read_csv(written('de.csv', 'x;y\n1,5;2\n'))
ValueError: de.csv, line 1: expected several fields, got 'x;y'; sep=';' separates them

# a date that can be read in two ways
from_frame(pd.DataFrame({'k': 1, 't': ['03/04/2020','04/03/2020'], 'v': [1.,2.]}), id='k', time='t')
ValueError: df: expected a number or a date in column 't', got '03/04/2020' in row 0; dayfirst=True or dayfirst=False
    says which of its numbers is the day

# NA among the labels of a .csv
read_csv(written('na.csv', 'x,y,how\n1,2,up\n3,4,NA\n'), label='how')
UserWarning: 'how': expected names, got 'NA' in 1 of 2 rows, read as a name; na_values=['NA'] makes it a missing value,
    na_values=[] a name

# a row with too few fields
read_csv(written('short.csv', 'x,y\n1,2\n3\n'))
ValueError: short.csv, line 3: expected 2 fields as in the first row, got 1; pd.read_csv and from_df read tables of
    other forms

# windows that end in missing values
sliding_windows(np.where(np.arange(50)==19, np.nan, X[0]), 10)
UserWarning: recordings: 1 of 5 windows end in NaN in all channels, the first is window 1; within a recording it is
    missing data, but at the end of an array it is taken for padding. lazy=True and from_recordings tell them apart

# lists of labels as long as the recordings
sliding_windows([X[0,:,:3], X[1,:,:3]], 2, labels=[['a','b','c'],['b','a','c']])
UserWarning: labels: 2 lists as long as their recordings are read as one label per sample; pass sets for several labels
    of a recording

# a recording with no value but NaN
sliding_windows([X[0], X[1]*np.nan], 10)
ValueError: recordings[1]: expected a value at some sample, got NaN alone

# windows longer than every recording
sliding_windows([X[0]], 51)
ValueError: ... 51

# several arrays in a file
np.savez('a.npz', emg=X[0], acc=X[1])
read_recordings('a.npz')
ValueError: a.npz: expected key= with the array of the recording, of 'emg', 'acc', got 2 possible ones

# an unknown array of a file
np.savez('a.npz', emg=X[0], acc=X[1])
read_recordings('a.npz', key='ecg')
ValueError: a.npz: expected one of the arrays 'emg', 'acc' as key, got 'ecg'

# labels of another length than the recording
np.savez('a.npz', emg=X[0], move=np.arange(40)%2)
read_recordings('a.npz', key='emg', label='move')
ValueError: a.npz: expected a value for each of 50 samples in 'move', got shape (40,)

# an array with samples first
np.save('a.npy', X[0].T)
read_recordings('a.npy')
UserWarning: array: expected (channels, samples), got shape (50, 3), taken for samples first; time_first=True says so

# a text file as .mat
read_recordings(written('a.mat', 'x,y'))
ValueError: a.mat: expected a complete file of its format, got

# an unknown signal of an EDF file
read_recordings(annotated('a.edf'), label='trigger')
ValueError: a.edf: expected one of the signals 'emg', or 'annotations' as label, got 'trigger'

# annotations that overlap
read_recordings(annotated('a.edf', (0,1,'rest'), (.5,1,'fist')), label='annotations')
ValueError: a.edf: expected one annotation at a time, got 'rest' and 'fist' at 0.5 s

# an annotation without duration
read_recordings(annotated('a.edf', (0,2,'rest'), (1,None,'button')), label='annotations')
UserWarning: annotations: expected a duration, got none in 1 of 2, as in 'button' at 1 s; they label no sample

# files of different rates
np.savez('a.npz', emg=X[0], fs=200)
np.savez('b.npz', emg=X[1], fs=1000)
read_recordings(['a.npz','b.npz'])
ValueError: rate: expected 200 Hz, as in a.npz, got 1000; resample_recording(x, rate, 200) resamples the recordings of
    b.npz

# files of different channels
frame = pd.DataFrame(X[0].T**2, columns=['x','y','z'])
frame.to_csv('a.csv', index=False)
frame[['y','x','z']].to_csv('b.csv', index=False)
read_recordings(['a.csv','b.csv'])
ValueError: b.csv: expected channels 'x', 'y', 'z' as in a.csv, got 'y', 'x', 'z'

## Rates and filters

# another rate than that of the file
sliding_windows(Recordings(list(X), rate=1000), .02, rate=200)
ValueError: rate: expected 1000 Hz, as of the recordings, got 200; to_rate=200 resamples them,
    recordings._replace(rate=200) corrects it

# recordings of another rate than the model's
at_200.predict_recordings(list(X), .02, rate=1000)
ValueError: rate: expected 200 Hz, as in training, got 1000; to_rate=200 of predict_recordings and sliding_windows
    resamples recordings

# windows of another rate
at_200.predict(sliding_windows(list(X), .02, rate=1000, lazy=True)[0])
ValueError: rate: expected 200 Hz, as in training, got 1000; to_rate=200 of predict_recordings and sliding_windows
    resamples recordings

# a stream of another rate
StreamingPredictor(at_200, .05, rate=1000)
ValueError: rate: expected 200 Hz, as in training, got 1000; record at 200 Hz, as a stream cannot be
    resampled; predict_recordings(.., to_rate=200) resamples recordings

# resampling of recordings with unknown rate
sliding_windows(list(X), 10, to_rate=200)
ValueError: rate: expected the sampling rate of the recordings, to resample them to 200 Hz, got None

# resampling to a higher rate
sliding_windows(list(X), .1, rate=50, to_rate=200)
UserWarning: to_rate: expected at most the 50 Hz of the recordings, got 200; the recordings have no frequencies above 25
    Hz

# resampling with missing values
sliding_windows(with_value(X, np.nan)[2], .05, rate=1000, to_rate=200)
ValueError: recordings[0]: expected finite numbers where it is resampled, got 1 other, the first is nan in channel 1 at
    sample 3; interpolate them, or cut the recording there

# filters for recordings with unknown rate
sliding_windows(list(X), 10, filters=Filters(notch=50))
ValueError: rate: expected the sampling rate of the recordings, which filters need, got None

# a filter frequency above half the sampling rate
Filters(band=(20,450), rate=200)
ValueError: band: expected frequencies below 100 Hz, half of the 200 samples a second, got 450

# a band with the higher frequency first
Filters(band=(450,20))
ValueError: band: expected the lower frequency first, got (450, 20)

# filters for another rate
sliding_windows(list(X), .02, rate=1000, filters=Filters(notch=50, rate=200))
ValueError: rate: expected 200 Hz, which the filters are made for, got 1000; to_rate=200 resamples recordings before
    they are filtered

# filters with missing values
sliding_windows(with_value(X, np.nan)[2], 10, filters=Filters(notch=50, rate=200))
ValueError: recordings[0]: expected finite numbers where filters run, got 1 other, the first is nan in channel 1 at
    sample 3; interpolate them, or cut the recording there

# filtered windows for a model without filters
at_200.predict(sliding_windows(list(X), 10, filters=Filters(notch=50, rate=200), lazy=True)[0])
UserWarning: X: expected windows without filters, as in training, got some filtered by Filters(notch=[50.0], rate=200.0)

## Decisions and groups

# an unknown class of rest
StreamingPredictor(predictor, 50, decide=Reject(.8, to='idle'))
ValueError: to: expected one of the classes 'fist', 'rest', got 'idle'

# a probability in per cent
Reject(80)
ValueError: below: expected a probability above 0 and up to 1, got 80

# a time to hold without a rate
StreamingPredictor(predictor, 50, decide=Hold(seconds=.3))
ValueError: seconds: expected a stream with rate=, got Hold(seconds=0.3) without; n= counts windows

# a dead band for a classification
StreamingPredictor(predictor, 50, decide=DeadBand(1))
TypeError: decide: expected steps for a classification task, got DeadBand(width=1.0, to=0.0)

# the name of a decision step in place of an object
StreamingPredictor(predictor, 50, decide='majority')
TypeError: decide: expected a list of steps such as Reject and Majority, got 'majority'

# a single group
leave_groups_out(X, y, np.zeros(40))
ValueError: groups: expected 2 or more, of which each is left out once, got 0.0

# more folds than groups
leave_groups_out(X, y, people, 5)
ValueError: n_splits: expected at most the number of groups, 4, got 5

# a class that only one group has
leave_groups_out(X, np.where(people==3, 'turn', y), people, nf=1, epochs=1, recipe='base', verbose=False)
UserWarning: y: expected each class in two groups or more, got ['turn'] in one alone; the network evaluated on that
    group has never seen them

# metrics of another task
leave_groups_out(X, y, people, metrics='rmse')
ValueError: metrics: expected for classification some of

# epochs with a training function
leave_groups_out(X, y, people, train=lambda dls: learn, epochs=5)
TypeError: epochs: expected none with train=, which makes and trains the network itself, got 5

## Names of tsai

# an import
from xceptiontime.all import TSClassifier
ImportError: TSClassifier: expected a name of xceptiontime, got one of tsai; here: XceptionTimeClassifier(), an
    estimator of scikit-learn; or ts_learner(dls)

# a network that xceptiontime does not have
from xceptiontime.all import TSTPlus
ImportError: TSTPlus: expected a name of xceptiontime, got one of tsai; not here, because XceptionTime and
    InceptionTime are the only networks

# a method of a learner
learn.feature_importance()
AttributeError: feature_importance: expected a name of xceptiontime, got one of tsai; here:
    permutation_importance(learn)

# an attribute of loaders
dls.cws
AttributeError: cws: expected a name of xceptiontime, got one of tsai; here: dls.class_weights()

# the random state of splits
get_splits(y, random_state=42, show_plot=False)
TypeError: random_state: expected to be left out, got 42; instead: get_splits(y, seed=0)

# settings of the network
ts_learner(dls, XceptionTime, arch_config=dict(nf=8))
TypeError: arch_config: expected to be left out, got {'nf': 8}; instead: ts_learner(dls, XceptionTime, nf=8)

# transforms of the targets
load(X, y, splits, tfms=[None, TSClassification])
TypeError: ... instead: TSDataLoaders.from_arrays(X, y, splits, task="classification")

# scaling as a transform
load(X, y, splits, batch_tfms=TSStandardize(by_var=True))
ValueError: batch_tfms: expected transforms of batches, got TSStandardize; scale='channel' scales
'''

class Mistake(NamedTuple):
    name: str    # description
    call: str
    error: type
    words: str   # part of the error message
    begins: bool # does the message begin with them?

def read_case(text):
    "A mistake from the lines of one case"
    name,*call,said = text.replace('\n    ', ' ').splitlines() # an indented line continues the line before
    error,_,words = said.partition(': ')
    error = getattr(builtins, error)
    begins = not words.startswith('... ')
    return Mistake(name.removeprefix('# '), '\n'.join(call), error, words.removeprefix('... '), begins)

def read_cases(text):
    "The mistakes by heading: {heading: [mistake]}"
    table = {}
    for part in text.strip().split('\n\n'):
        if part.startswith('## '): rows = table[part.removeprefix('## ')] = []
        else: rows.append(read_case(part))
    return table

table = read_cases(CASES)

def namespace():
    "The names that the calls use"
    warnings.filterwarnings('ignore', category=FutureWarning, module='torch')
    import xceptiontime.all as xt
    import pandas as pd
    from torch import nn
    res = {**vars(xt), **globals(), 'nn': nn, 'pd': pd}
    exec(setup, res)
    class Spoil(xt.Callback):
        def before_batch(self):
            if self.training and self.epoch==1: self.learn.xb = self.xb[0]*float('nan'),
    for l in (res['learn'], res['regression'], res['multilabel']):
        l.remove_cb(l.progress)
        l.logger = xt.noop
    return {**res, 'spoil': Spoil()}

def told(call, ns):
    "The error of `call`, or its warning that points at it, in a new folder that holds a model"
    with tempfile.TemporaryDirectory() as d, warnings.catch_warnings(record=True) as given:
        warnings.simplefilter('always', UserWarning)
        was = os.getcwd()
        os.chdir(d)
        try:
            ns = {**ns, 'folder': ns['learn'].save_pretrained(Path('model')), '__name__': '__main__'}
            exec(compile(call, 'call', 'exec'), ns)
            return next((w.message for w in given if w.category is UserWarning and w.filename=='call'), None)
        except Exception as e: return e
        finally: os.chdir(was)
