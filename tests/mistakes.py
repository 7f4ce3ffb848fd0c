"The mistakes that tests/test_mistakes.py makes and nbs/81_mistakes.ipynb shows: the calls, and the sentences"
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
    "The model folder with the last 50 bytes of a file gone"
    f = Path(folder)/name
    f.write_bytes(f.read_bytes()[:-50])
    return folder

def flip(folder, name):
    "The model folder with the last bit of a file turned over"
    f = Path(folder)/name
    data = f.read_bytes()
    f.write_bytes(data[:-1]+bytes([data[-1]^1]))
    return folder

def grow(folder, name):
    "The model folder with a file of a terabyte, which takes no room"
    os.truncate(Path(folder)/name, 2**40)
    return folder

def diverged(predictor):
    "The predictor with a weight that is no number"
    predictor.model.head[-2].bias.data[0] = float('nan')
    return predictor

def beside_training(learn, ask):
    "What `ask()` gives another thread while this one trains the network"
    with in_training(learn.model), ThreadPoolExecutor(1) as other: return other.submit(ask).result()

def written(name, text):
    "The name of a new file that holds `text`"
    Path(name).write_text(text)
    return name

def silent_server():
    "The address of a server on this machine that takes requests and never answers"
    server = socket.create_server(('127.0.0.1', 0))
    silent.append(server)
    return f'http://127.0.0.1:{server.getsockname()[1]}'

silent = [] # servers, which close when nobody holds them

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

# A mistake is its name, the call (one line or more), and the last line of the traceback. `...` is the beginning of a
# sentence that is not compared; what comes after the end of a line here is not compared either.
CASES = r'''
## The series

# too many dimensions
load(X[None], y, splits)
ValueError: X: expected series as (samples, channels, length), got shape (1, 40, 3, 50)

# a single number
predictor.predict(3.)
ValueError: X: expected series as (samples, channels, length), got shape ()

# channels last
predictor.predict(X.transpose(0,2,1))
ValueError: ... X.transpose(0, 2, 1) turns it

# channels last, in a loader
dls.test_dl(X.transpose(0,2,1))
ValueError: X: expected 3 channels, got 50

# channels last, with their names
load(X.transpose(0,2,1), y, splits, channels=['x','y','z'])
ValueError: ... if X is (samples, length, channels), X.transpose(0, 2, 1) turns it

# a network without numbers
diverged(Predictor.from_pretrained(folder)).predict(X)
ValueError: X: expected series that the network has finite numbers for, got nan for series 0 with values from -2.

# channels last, of equal length
load(rng.normal(size=(40,500,3)), y, splits)
UserWarning: X: expected (channels, length) of each series, got 500 channels of 3 steps; if those are 500 steps of 3
    channels, X.transpose(0, 2, 1) turns them

# told the length, where all are equal
load(X, y, splits, length_channel=True)
UserWarning: length_channel: expected training series of unequal length, got 50 steps in each; the channel tells the
    network nothing

# another number of channels
learn.get_X_preds(X[:,:2])
ValueError: X: expected 3 channels, got 2

# one channel to a model of three
learn.predict(X[0,0])
ValueError: X: expected 3 channels, got 1

# words in an array of objects
load(np.where(X>2, 'high', X.astype(object)), y, splits)
TypeError: X: expected real numbers, got str values

# a series too few among objects
load(pd.Series([*X[:39], None]), y, splits)
ValueError: X[39]: expected a series, got None

# words among the numbers
predictor.predict(X.astype(str))
TypeError: X: expected real numbers, got text

# complex numbers
predictor.predict(np.fft.rfft(X))
TypeError: X: expected real numbers, got complex

# dates
load(X.astype('datetime64[s]'), y, splits)
TypeError: X: expected real numbers, got dates

# no series to train on
load(X[:0], y[:0])
ValueError: X: expected 1 or more series

# series without steps
load(X[:,:,:0], y, splits)
ValueError: X: expected 1 or more channels and steps, got shape (40, 3, 0)

# one series without steps
predictor.predict([X[0], X[1,:,:0]])
ValueError: X[1]: expected a length of 1 or more, got shape (3, 0)

# series of other channels in a list
predictor.predict([X[0], X[1,:2]])
ValueError: X[1]: expected a series (channels, length) with 3 channels as in X[0]

# NaN in training
load(with_value(X, np.nan), y, splits)
ValueError: ... got 1 values that are NaN in 1 of 30 series, the first in series 2, channel 1, step
    3

# NaN in validation
load(with_value(X, np.nan)[::-1], y, splits)
ValueError: ... the first in series 37, channel 1, step 3

# NaN at prediction
learn.get_X_preds(with_value(X, np.nan))
ValueError: ... got 1 values that are NaN in 1 of 40 series

# a series without a value
predictor.predict(np.where(np.arange(40)[:,None,None]==7, np.nan, X))
ValueError: X: expected a value in each series, got 1 of 40 series without any, the first is series 7

# infinity
load(with_value(X, -np.inf), y, splits)
ValueError: ... infinite or too large for float32

# numbers too large for float32
predictor.predict(X.astype(float)*1e300)
ValueError: ... infinite or too large for float32

# numbers that float32 cannot tell apart
load(473977420+np.arange(6000).reshape(40,3,50)%60, y, splits)
ValueError: X: expected values that float32 can tell apart (subtract an offset first), got 473977420 and 473977421, both
    473977408 there, in channel 0

# numbers that float32 cannot tell apart, at prediction
predictor.predict(473977420+np.arange(6000).reshape(40,3,50)%60)
ValueError: X: expected values that float32 can tell apart (subtract an offset first), got 473977420 and 473977421, both
    473977408 there, in channel 0

# one series where several go
learn.get_X_preds(X[0])
ValueError: X: expected 3 channels, got 1 in shape (3, 1, 50); two dimensions are (samples, length) of one channel,
    X[None] is one series of 3 channels

# a channel of another name
ts_learner(load([pd.DataFrame(x.T, columns=['x','y','z']) for x in X], y, splits), nf=2).get_X_preds(
    [pd.DataFrame(x.T, columns=['x','y','up']) for x in X])
ValueError: X[0]: expected the columns 'x', 'y', 'z' as in the model, got 'x', 'y', 'up'

# several series where one goes
learn.predict(X)
ValueError: item: expected one series, (channels, length) or (length,), got shape (40, 3, 50)

## The targets

# fewer than series
load(X, y[1:], splits)
ValueError: y: expected 40 targets for as many series, got 39

# none
load(X, None, splits)
TypeError: y: expected a target for each series, got None

# a missing label
load(X, [None, *y[1:]], splits)
ValueError: y: expected a target for each series, got None for series 0, 1 such in all; splits= of
    your own can leave it out

# a missing label, and no splits
load(X, pd.Series([*y[:-1], None]))
ValueError: y: expected a target for each series, got nan for series 39, 1 such in all; splits= of
    your own can leave it out

# a missing label among lists
load(X, [['rest'], None, ['rest','fist'], ['fist']]*10)
ValueError: y: expected a target for each series, got None for series 1, 10 such in all

# a missing label to divide by
get_splits([None, *y[1:]])
ValueError: y: expected a target for each sample, got None for sample 0, 1 such in all

# lists of one label
load(X, [[o] for o in y], splits)
ValueError: y: expected one label a series, or lists of several, got 30 lists of one; [o[0] for o in
    y] makes classes, task='multilabel' labels

# lists of one label, of recordings
TSDataLoaders.from_recordings(list(X[:10]), [['rest'],['fist']]*5, 20)
ValueError: labels: expected one label a recording, or lists of several, got 10 lists of one; [o[0] for o in labels]
    makes classes, task='multilabel' labels

# lists of as many labels each
load(X, [['rest','left'],['fist','left']]*20, splits)
UserWarning: y: lists of 2 for each of 30 series are learned as labels, of which each has 2 (multi-label); [o[0] for o
    in y] takes the first as classes

# whole numbers with a point
load(X, np.arange(40)%5*1., splits)
UserWarning: y: floats that are all whole numbers are learned as numbers (regression); task='classification' makes them
    classes

# many different whole numbers
infer_task(np.arange(40))
UserWarning: y: 40 different integers in 40 series are learned as classes; task='regression' learns them as numbers

# a label for each step
load(X, rng.integers(0, 2, (40,50)), splits)
ValueError: y: expected a target for each series, got one for each of its 50 steps;
    TSDataLoaders.from_recordings(X, y, length) makes windows with a label each

# bytes that are no text
load(X, [b'\xff', b'rest']*20, splits)
ValueError: y: expected text, got bytes that are not UTF-8, b'\xff'; np.char.decode(y, 'latin-1')
    decodes others

# words and numbers
load(X, ['rest', 1]*20, splits)
TypeError: ... labels of one kind, strings, integers or booleans, got int, str

# dates
load(X, np.arange(40).astype('datetime64[D]'), splits)
TypeError: y: expected class labels (strings, integers or booleans), got dates

# complex numbers
load(X, numbers+1j, splits)
TypeError: ... got complex numbers

# one class
load(X, ['rest']*40, splits)
ValueError: y: expected 2 or more classes in the training series, got ['rest']

# one series
load(X[:1], y[:1])
ValueError: X: expected 2 or more series to divide into training and validation, got 1

# a class in validation only
load(X, np.where(np.arange(40)<30, y, 'wave'), splits)
ValueError: y (validation split): expected labels among the 2 classes 'fist', 'rest', got 'wave' for series 0

# a new label at prediction
learn.get_X_preds(X[:1], ['wave'])
ValueError: y: expected labels among the 2 classes 'fist', 'rest', got 'wave' for series 0

# targets of another number at prediction
learn.get_X_preds(X[:3], y[:2])
ValueError: y: expected 3 targets for as many series, got 2

# fractions as classes
load(X, numbers, splits, task='classification')
TypeError: y: expected class labels (strings, integers or booleans), got numbers that are not all whole

# a column instead of labels
load(X, labels[:,:1], splits)
ValueError: ... got shape (30, 1); y[:,0] makes classes

# a table of labels
load(X, np.stack([y, y], 1), splits)
ValueError: y: expected one label a series, got shape (30, 2)

# words as numbers
load(X, y, splits, task='regression')
TypeError: y: expected numbers, got text

# NaN among numbers
load(X, np.where(np.arange(40)==3, np.nan, numbers), splits)
ValueError: y: expected a target for each series, got nan for series 3, 1 such in all

# NaN among numbers, in validation
load(X, np.where(np.arange(40)==33, np.nan, numbers), splits)
ValueError: y: expected a target for each series, got nan for series 33, 1 such in all

# infinity among numbers
load(X, np.where(np.arange(40)==3, np.inf, numbers), splits)
ValueError: y: expected finite numbers, got inf for series 3

# the same number always
load(X, np.full(40, .5), splits)
ValueError: y: expected targets that differ, got 0.5 for every training series

# numbers that float32 cannot tell apart
load(X, numbers+1e9, splits)
ValueError: ... subtract an offset first

# numbers in three dimensions
load(X, rng.normal(size=(40,2,2)), splits)
ValueError: y: expected numbers as (samples,) or (samples, outputs), got shape (30, 2, 2)

# outputs of another number at prediction
regression.get_X_preds(X, rng.normal(size=(40,2)))
ValueError: y: expected numbers as (samples), as in training, got shape (40, 2)

# counts where 0 and 1 go
load(X, labels*2, splits)
ValueError: y: expected 0 and 1 in two dimensions of integers, got 2; task='regression' learns them
    as numbers

# a label that training never saw
load(X, [['a'],['b','a']]*15+[['c']]*10, splits)
ValueError: y (validation split): expected labels among the 2 labels 'a', 'b', got 'c' for series 0

# labels where columns are fewer
load(X, labels, splits, vocab=['a','b'])
ValueError: y (training split): expected 0 and 1 as (samples, 2 labels), got shape (30, 3)

## Task and vocabulary

# a task that does not exist
load(X, y, splits, task='clustering')
ValueError: task: expected one of ['classification', 'multilabel', 'regression'], got 'clustering'

# a class twice
load(X, y, splits, vocab=['rest','fist','rest'])
ValueError: vocab: expected each class once, got 'rest' 2 times

# a class too few
load(X, y, splits, vocab=['rest','wave'])
ValueError: y (training split): expected labels among the 2 classes 'rest', 'wave', got 'fist' for series 1

# a single class
load(X, y, splits, vocab=['rest'])
ValueError: vocab: expected 2 or more classes, got ['rest']

# classes of another kind
load(X, y, splits, vocab=[0,1])
ValueError: ... expected labels among the 2 classes 0, 1, got 'rest' for series 0

# classes for numbers
load(X, numbers, splits, task='regression', vocab=['a','b'])
ValueError: vocab: expected none for a regression

# a name for one output of two
load(X, rng.normal(size=(40,2)), splits, target_names=['depth'])
ValueError: target_names: expected one for each of 2 outputs

# units of classes
load(X, y, splits, units='m')
ValueError: target_names, units: expected these for a regression only

## Splits and loaders

# splits that overlap
load(X, y, (np.arange(30), np.arange(29,40)))
ValueError: splits: expected no index in both train and valid, got 29

# splits beyond the end
load(X, y, (np.arange(30), np.arange(30,41)))
ValueError: valid: expected indices from 0 to 39, got 40

# negative indices
load(X, y, (np.arange(30), [-1]))
ValueError: valid: expected indices from 0 to 39, got -1

# masks
load(X, y, (np.arange(40)<30, np.arange(40)>=30))
ValueError: train: expected indices, got a boolean mask

# an empty split
load(X, y, (np.arange(40), []))
ValueError: valid: expected one or more indices, got none

# a sample twice
load(X, y, ([0,1,1,2], [3]))
ValueError: train: expected each index once, got more of 1

# a subject on both sides
load(X, y, splits, groups=np.arange(40)%4)
ValueError: splits: expected no group in both train and valid, got 0, 1, 2, 3

# groups of another number
load(X, y, splits, groups=[1,2])
ValueError: groups: expected one for each of the 40 samples

# one array
load(X, y, np.arange(30))
ValueError: splits: expected a tuple of index arrays

# a share above 1
get_splits(y, valid_size=1.5)
ValueError: valid_size: expected a share between 0 and 1

# a group that is not there
get_splits(y, groups=np.arange(40)%4, valid_groups=[7])
ValueError: valid_groups: expected some of the groups 0, 1, 2, 3, got 7

# series instead of a dataset
dls.valid.new(X)
TypeError: dataset: expected a TSDataset, got 'ndarray'; dls.test_dl(X) makes a loader of series

# no series in a batch
load(X, y, splits, bs=0)
ValueError: bs: expected a whole number of 1 or more, got 0

# half a series in a batch
load(X, y, splits, bs=2.5)
ValueError: bs: expected a whole number of 1 or more, got 2.5

# a mistyped keyword
load(X, y, splits, batch_size=8)
TypeError: ... unexpected keyword argument 'batch_size'

# a scaling that does not exist
load(X, y, splits, scale='batch')
ValueError: scale: expected one of

# a policy that does not exist
load(X, y, splits, missing='drop')
ValueError: missing: expected one of

# weights of another number
load(X, y, splits, weights=[1,2])
ValueError: weights: expected one for each of 40 series, got shape (2,)

# negative weights
load(X, y, splits, weights=-np.ones(40))
ValueError: weights: expected finite numbers of 0 or more

# a class without weight
load(X, y, splits, weights={'rest':2})
ValueError: weights: expected a number for each class, got none for 'fist'

# classes to balance where there are none
load(X, numbers, splits, weights='balanced')
ValueError: weights: expected a number for each series, as classes have no weights in regression

## Learner and training

# no loaders
ts_learner(X)
TypeError: dls: expected TSDataLoaders, got ndarray

# a network that does not exist
ts_learner(dls, 'XceptionTime2')
TypeError: arch: expected a class such as XceptionTime, got 'XceptionTime2'

# an argument that the network does not have
ts_learner(dls, width=4)
TypeError: ts_learner: expected arguments of XceptionTime (nf,

# a mistyped keyword
ts_learner(dls, metric='accuracy')
TypeError: ... or of Learner, got 'metric'

# an end of the head that does not exist
ts_learner(dls, head='softmax')
ValueError: head: expected

# a metric that does not exist
ts_learner(dls, metrics=['acuracy'])
ValueError: metrics: expected for classification some of ['accuracy', 'balanced_accuracy',
    'f1_macro', 'roc_auc'], or others as objects, got 'acuracy'

# a metric of another task
ts_learner(dls, metrics='rmse')
ValueError: ... or others as objects, got 'rmse'

# fastai's metric of another task
ts_learner(regression.dls, metrics=error_rate)
ValueError: metrics: expected metrics for regression, got error_rate, which is for classification

# no function to split by
ts_learner(dls, splitter=3)
TypeError: splitter: expected a function such as body_and_head, got 3

# a report on classes where there are numbers
ClassificationInterpretation.from_learner(regression)
AttributeError: vocab: expected data with classes, got regression; Interpretation and learn.show_results look at numbers

# a report on classes where there are labels
ClassificationInterpretation.from_learner(multilabel).print_classification_report()
TypeError: vocab: expected classes, of which a series has one, got labels;
    sklearn.metrics.classification_report(targets, probs>.5) is a report on labels

# a metric that fails
ts_learner(dls, metrics=lambda out,y: out[:,5].mean())
ValueError: metrics: expected a metric that fits classification, got an error when tried: IndexError

# roc_auc without a class
ts_learner(load(X, y, (splits[0], np.arange(30,40,2))), metrics='roc_auc')
ValueError: metrics: expected each class in validation for 'roc_auc', got 1 of 2

# a loss of another task
ts_learner(dls, loss_func=nn.MSELoss())
ValueError: loss_func: expected a loss for classification, got MSELoss, which is for regression

# a loss of another number of classes
ts_learner(dls, loss_func=nn.CrossEntropyLoss(weight=torch.ones(3)))
ValueError: loss_func: expected a loss that fits classification, got an error when tried

# a loss that is a class
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

# a learning rate far too high
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

# mixing that is for images
learn.fit(1, cbs=CutMix())
ValueError: cbs: expected TSCutMix to mix series, got CutMix, which is for images

# a callback for recurrent networks
learn.fit(1, cbs=ModelResetter())
TypeError: cbs: expected callbacks for any network, got ModelResetter for recurrent ones

# another run in the folder of a checkpoint
for seed in (0,1): ts_learner(dls, nf=1, seed=seed, cbs=Checkpoint('run')).fit(1)
ValueError: ... expected a checkpoint of the run that is now started, got one that differs in seed (0, now 1)

# losses of series without targets
learn.get_preds(dl=dls.test_dl(X), with_loss=True)
ValueError: dl: expected series with targets for with_loss=True, got none; test_dl takes a y

## Predictions and model folders

# no series at a time
predictor.predict(X, bs=0)
ValueError: bs: expected a whole number of 1 or more, got 0

# probabilities of numbers
regression.predictor().predict_proba(X)
TypeError: predict_proba: expected a task with classes or labels, got regression

# a new wearer's label that training did not know
predictor.adapt(X, ['rest','jump']*20)
ValueError: y: expected labels among the 2 classes 'fist', 'rest', got 'jump' for series 1

# a new wearer's labels without one of the classes
predictor.adapt(X[:4], ['rest']*4)
UserWarning: y: expected series of each of 2 classes to adapt to, got none of ['fist']: the new model may forget them

# a prediction while another thread trains
beside_training(learn, lambda: learn.predict(X[0]))
RuntimeError: model: expected a network that no other thread is training, got one in training; a model that was saved
    and opened, by Predictor.from_pretrained, answers meanwhile

# a folder that is not there
Predictor.from_pretrained('nowhere')
FileNotFoundError: folder: expected a model folder, got nowhere, which is not one

# two folders
Predictor.from_pretrained(['m1','m1'])
TypeError: folder: expected one model folder or the name of one model on the Hugging Face Hub, got
    ['m1', 'm1']

# another folder
Predictor.from_pretrained('.')
FileNotFoundError: ... expected config.json in the model folder

# a file
Predictor.from_pretrained(folder/'config.json')
FileNotFoundError: ... which is not one

# weights missing
Predictor.from_pretrained(without(folder, 'model.safetensors'))
FileNotFoundError: ... expected model.safetensors in the model folder

# settings missing
Predictor.from_pretrained(without(folder, 'config.json'))
FileNotFoundError: ... expected config.json in the model folder

# a temperature that no calibration gives
Predictor.from_pretrained(edit(folder, task=dict(name='classification', vocab=['rest','fist'], temperature=1e-45)))
ValueError: ... temperature: expected a number from 1e-09 to 1e+09, as calibration may find, got 1e-45

# weights cut short
Predictor.from_pretrained(cut(folder, 'model.safetensors'))
ValueError: ... expected a whole safetensors file

# one bit of the weights turned over, or the weights of another training
Predictor.from_pretrained(flip(folder, 'model.safetensors'))
ValueError: ... expected the weights that config.json was written with, by its fingerprint, got others; if these are the
    right ones, delete the line 'fingerprint' of config.json

# a file of weights that is far too large
Predictor.from_pretrained(grow(folder, 'model.safetensors'))
ValueError: ... bytes, as config.json says, got 1099511627776

# the network of a training that diverged
diverged(Predictor.from_pretrained(folder)).save_pretrained('new')
ValueError: ... got NaN or infinity; a training that diverges leaves that, a lower learning rate helps

# settings cut short
Predictor.from_pretrained(cut(folder, 'config.json'))
ValueError: ... expected JSON

# a later version
Predictor.from_pretrained(edit(folder, format=99))
ValueError: ... or older, got 99, written by xceptiontime

# another architecture
Predictor.from_pretrained(edit(folder, architecture='os.system'))
ValueError: ... as 'architecture', got 'os.system'

# other arguments
Predictor.from_pretrained(edit(folder, arguments=dict(c_in=3, c_out=2, nf=8)))
ValueError: ... as config.json says, got F32

# another task
Predictor.from_pretrained(edit(folder, task=dict(name='clustering')))
ValueError: ... as 'task.name', got 'clustering'

# more classes than scores
Predictor.from_pretrained(edit(folder, task=dict(name='classification', vocab=['a','b','c'])))
ValueError: ... expected 3 scores, as the task has, got 2

# settings that are not there
Predictor.from_pretrained(edit(folder, preprocess=None))
ValueError: ... expected settings by name as 'preprocess', got None

# decisions that the package does not know
Predictor.from_pretrained(edit(folder, decisions=[dict(step='Velocity')]))
ValueError: ... decisions: expected steps among ['Reject', 'Majority', 'Hold', 'DeadBand'], got 'Velocity'

# decisions for another task
predictor.decisions = DeadBand(.5)
TypeError: decide: expected steps for a classification task, got DeadBand(width=0.5, to=0.0)

# a class of rest that the model does not know
predictor.decisions = Reject(.8, to='relax')
ValueError: to: expected one of the classes 'fist', 'rest', got 'relax'

# a folder that holds something else
Path('thesis').mkdir(); Path('thesis/chapter.tex').touch()
learn.save_pretrained('thesis')
FileExistsError: ... expected a new or empty folder or one that holds a model, got thesis

## Estimators of scikit-learn

# weights that leave one class
XceptionTimeClassifier(epochs=1).fit(X, y, sample_weight=y=='fist')
ValueError: sample_weight, class_weight: expected 2 or more classes of a weight above 0, got one class, 'fist'

# a negative weight of a class
XceptionTimeClassifier(epochs=1, class_weight={'fist': -1}).fit(X, y)
ValueError: class_weight: expected 0 or a number above 0, got -1

# weights that are all 0
XceptionTimeRegressor(epochs=1).fit(X, numbers, sample_weight=np.zeros(40))
ValueError: Sample weights must contain at least one non-zero number.

# too few series to hold back
XceptionTimeClassifier(epochs=1, early_stopping=True).fit(X[:10], y[:10])
ValueError: validation_fraction: expected a share of the 10 series that leaves 2 or more in each part, got 0.1, which
    is 1

# a class of one series, where a part is held back
XceptionTimeClassifier(epochs=1, early_stopping=True).fit(X, ['open', *y[1:]])
ValueError: y: expected 2 or more series of each class with early_stopping=True, one to train on and one to validate on,
    got 1 of 'open'

# other classes, where training goes on
XceptionTimeClassifier(epochs=1, nf=2, warm_start=True).fit(X, y).fit(X, np.where(y=='rest', 'open', y))
ValueError: y: expected the classes that warm_start=True goes on with, ['fist', 'rest'], got ['fist', 'open']

# a wider network, where training goes on
XceptionTimeClassifier(epochs=1, nf=2, warm_start=True).fit(X, y).set_params(nf=4).fit(X, y)
ValueError: warm_start: expected the networks of the fit before, n_estimators=1, nf=2, ks=40, got n_estimators=1, nf=4,
    ks=40

## Files and recordings

# a file that is not there
read_series('nothing.ts')
FileNotFoundError: nothing.ts

# an ending that is not known
read_series(written('series.xyz', '1'))
ValueError: series.xyz

# a word among the numbers
read_series(written('a.tsv', 'rest\t1\t2\nrest\t1\tfast\n'))
ValueError: a.tsv

# an id where each row is a whole series
read_series(written('wide.csv', 'id,how,t0,t1\n1,up,1.5,2\n2,down,3,4\n'), label='how', id='id')
UserWarning: id: expected several rows in each series, a row for each time step, got one row in each of 2

# a quotation mark that is not closed
read_series(written('a.arff', "@relation a\n@attribute x numeric\n@attribute c {up,down}\n@data\n1,'up\n"))
ValueError: a.arff, line 5: expected fields separated by commas, got "'up"

# another file as parquet
read_series(written('a.parquet', 'x,y\n1,2\n'))
ValueError: a.parquet: expected a parquet file, got

# parquet with text in another encoding
read_series(in_latin('a.parquet'), label='how')
ValueError: a.parquet: expected text in UTF-8 in column 'how', got

# a download from a place that anybody can answer for
get_ucr('Gestures', 'sets', url='http://example.com')
OSError: url: expected 'Gestures', got http://example.com/Gestures.zip (url: expected an address that starts with
    https://, got 'http://example.com/Gestures.zip')

# a download from a server that does not answer
get_ucr('Gestures', 'sets', url=silent_server(), max_seconds=.2)
OSError: ... (max_seconds: expected the archive in that time, got a part of it)

# a data set whose name is a path
get_ucr('../Gestures')
ValueError: name: expected a data set's name of letters, digits, - and _, got '../Gestures'

# a recording turned the wrong way round
sliding_windows(X[0].T, 10)
ValueError: ... if that is (time, channels), x.T turns it

# trials that are counted anew for each subject
from_frame(pd.DataFrame({'trial': [1,1,2,2,1,1,2,2], 'emg': rng.normal(size=8)}), id='trial')
UserWarning: id: expected the rows of a series side by side, got 1 in 2 places, 2 of 2 series so; they were joined. If
    ids repeat, id=['subject', 'trial'] tells them apart by several columns; else time= sorts the rows

# the same with times
from_frame(pd.DataFrame({'trial': [1,1,1,1], 't': [0,1,0,1], 'emg': rng.normal(size=4)}), id='trial', time='t')
ValueError: df: expected one row a time within a series (where ids repeat, id= takes several columns), got 0 twice in
    row 2

# a forgotten number of the person, in a long table
from_frame(pd.DataFrame({'trial': np.repeat(range(4), 10), 'person': np.repeat([1,2], 20), 'emg': rng.normal(size=40)}),
    id='trial')
UserWarning: columns: expected measurements, got one value in each of 4 series, 2 different in all, in 'person', taken
    for a channel; id=, time= or groups= says what it is, columns= names the channels alone

# a number of the row, in a wide table
from_frame(pd.DataFrame(X[:,0]).assign(number=range(40)))
UserWarning: columns: expected measurements, got another whole number in each of 40 rows, in 'number', taken for a
    step; groups=, label= or target= says what it is, columns= names the steps alone

# a recording with a label a row
from_frame(pd.DataFrame(X[0].T).assign(activity=['sit']*25+['walk']*25), label='activity')
UserWarning: X: expected a series in each row, got 50 rows of 3 steps, in which a label stays for 25 rows on end

# the same, cut into windows, with nothing to validate on
load_df = TSDataLoaders.from_df
load_df(pd.DataFrame(X[0].T).assign(activity=['sit']*25+['walk']*25), label='activity', length=10)
ValueError: splits: expected index arrays where all windows are of one recording or group, got None;
    splits=dict(ordered=True) judges by its last part

# rows without a label
read_recordings(pd.DataFrame(X[0].T).assign(activity=['sit']*25+[None]*25), label='activity')
UserWarning: label: expected one in each row, got none in 25 of 50; those are left out, and no window runs across them

# a gap in time
read_recordings(pd.DataFrame(X[0].T).assign(t=[*np.arange(25)/50, *np.arange(50, 75)/50]), time='t')
UserWarning: time: expected even steps, of 0.02 as most are, got 1 of 49 that are not, as 0.52; windows run across gaps,
    id= can name each stretch without one

# a German table
read_csv(written('de.csv', 'x;y\n1,5;2\n'), sep=';')
ValueError: ... got '1,5'; decimal=',' reads a comma before the fraction

# the same without sep=
read_csv(written('de.csv', 'x;y\n1,5;2\n'))
ValueError: de.csv, line 1: expected several fields, got 'x;y'; sep=';' separates them

# a day that may be a month
from_frame(pd.DataFrame({'k': 1, 't': ['03/04/2020','04/03/2020'], 'v': [1.,2.]}), id='k', time='t')
ValueError: df: expected a number or a date in column 't', got '03/04/2020' in row 0; dayfirst=True or dayfirst=False
    says which of its numbers is the day

# NA among the labels of a .csv
read_csv(written('na.csv', 'x,y,how\n1,2,up\n3,4,NA\n'), label='how')
UserWarning: 'how': expected names, got 'NA' in 1 of 2 rows, taken for one; na_values=['NA'] makes it a missing value,
    na_values=[] a name

# a row too short
read_csv(written('short.csv', 'x,y\n1,2\n3\n'))
ValueError: short.csv, line 3: expected 2 fields as in the first row, got 1; pd.read_csv and from_df read tables of
    other forms

# windows that end in a gap
sliding_windows(np.where(np.arange(50)==19, np.nan, X[0]), 10)
UserWarning: recordings: 1 of 5 windows end in NaN in all channels, the first is window 1; within a recording it is
    missing data, but at the end of an array it is taken for padding. lazy=True and from_recordings know the difference

# labels as long as the recordings
sliding_windows([X[0,:,:3], X[1,:,:3]], 2, labels=[['a','b','c'],['b','a','c']])
UserWarning: labels: 2 lists as long as their recordings are taken for a label a sample; sets, one for each recording,
    are taken for several labels of it

# a recording without a value
sliding_windows([X[0], X[1]*np.nan], 10)
ValueError: recordings[1]: expected a value at some sample, got NaN alone

# windows longer than every recording
sliding_windows([X[0]], 51)
ValueError: ... 51

# several arrays that may be the recording
np.savez('a.npz', emg=X[0], acc=X[1])
read_recordings('a.npz')
ValueError: a.npz: expected key= with the array of the recording, of 'emg', 'acc', got 2 that may be it

# a name that is no array of the file
np.savez('a.npz', emg=X[0], acc=X[1])
read_recordings('a.npz', key='ecg')
ValueError: a.npz: expected one of the arrays 'emg', 'acc' as key, got 'ecg'

# labels of another length than the recording
np.savez('a.npz', emg=X[0], move=np.arange(40)%2)
read_recordings('a.npz', key='emg', label='move')
ValueError: a.npz: expected a value for each of 50 samples in 'move', got shape (40,)

# samples first
np.save('a.npy', X[0].T)
read_recordings('a.npy')
UserWarning: array: expected (channels, samples), got shape (50, 3), taken for samples first; time_first=True says so

# another file with the ending of MATLAB
read_recordings(written('a.mat', 'x,y'))
ValueError: a.mat: expected a file of its kind, whole, got

# a signal that an EDF file does not have
read_recordings(annotated('a.edf'), label='trigger')
ValueError: a.edf: expected one of the signals 'emg', or 'annotations' as label, got 'trigger'

# annotations that overlap
read_recordings(annotated('a.edf', (0,1,'rest'), (.5,1,'fist')), label='annotations')
ValueError: a.edf: expected one annotation at a time, got 'rest' and 'fist' at 0.5 s

# annotations that last no time
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

# a rate that is not the one of the file
sliding_windows(Recordings(list(X), rate=1000), .02, rate=200)
ValueError: rate: expected 1000 Hz, as the recordings know, got 200; to_rate=200 resamples them,
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
ValueError: rate: expected 200 Hz, as in training, got 1000; take samples at 200 Hz from the device: resampling looks
    ahead, which a stream cannot; predict_recordings(.., to_rate=200) does so for what was recorded

# recordings resampled that nobody knows the rate of
sliding_windows(list(X), 10, to_rate=200)
ValueError: rate: expected the samples a second of the recordings, to make 200 of them, got None

# a higher rate than that of the recordings
sliding_windows(list(X), .1, rate=50, to_rate=200)
UserWarning: to_rate: expected at most the 50 Hz of the recordings, got 200; what is above 25 Hz, half of it, is in no
    recording

# a missing value where recordings are resampled
sliding_windows(with_value(X, np.nan)[2], .05, rate=1000, to_rate=200)
ValueError: recordings[0]: expected finite numbers where it is resampled, got 1 others, the first is nan in channel 1 at
    sample 3; interpolate them, or cut the recording there

# filters for recordings that nobody knows the rate of
sliding_windows(list(X), 10, filters=Filters(notch=50))
ValueError: rate: expected the samples a second of the recordings, as filters need it, got None

# frequencies that the rate cannot hold
Filters(band=(20,450), rate=200)
ValueError: band: expected frequencies below 100 Hz, half of the 200 samples a second, got 450

# a band turned round
Filters(band=(450,20))
ValueError: band: expected the lower frequency first, got (450, 20)

# filters made for another rate
sliding_windows(list(X), .02, rate=1000, filters=Filters(notch=50, rate=200))
ValueError: rate: expected 200 Hz, which the filters are made for, got 1000; to_rate=200 resamples recordings before
    they are filtered

# a missing value where filters run
sliding_windows(with_value(X, np.nan)[2], 10, filters=Filters(notch=50, rate=200))
ValueError: recordings[0]: expected finite numbers where filters run, got 1 others, the first is nan in channel 1 at
    sample 3; interpolate them, or cut the recording there

# windows that were filtered, for a model without filters
at_200.predict(sliding_windows(list(X), 10, filters=Filters(notch=50, rate=200), lazy=True)[0])
UserWarning: X: expected windows without filters, as in training, got some filtered by Filters(notch=[50.0], rate=200.0)

## Decisions and groups

# a class of rest that the model does not have
StreamingPredictor(predictor, 50, decide=Reject(.8, to='idle'))
ValueError: to: expected one of the classes 'fist', 'rest', got 'idle'

# a probability in per cent
Reject(80)
ValueError: below: expected a probability above 0 and up to 1, got 80

# a time to hold, without a rate
StreamingPredictor(predictor, 50, decide=Hold(seconds=.3))
ValueError: seconds: expected a stream with rate=, got Hold(seconds=0.3) without; n= counts windows

# a dead band for classes
StreamingPredictor(predictor, 50, decide=DeadBand(1))
TypeError: decide: expected steps for a classification task, got DeadBand(width=1.0, to=0.0)

# a step by its name
StreamingPredictor(predictor, 50, decide='majority')
TypeError: decide: expected a list of steps such as Reject and Majority, got 'majority'

# one person alone
leave_groups_out(X, y, np.zeros(40))
ValueError: groups: expected 2 or more, of which each is left out once, got 0.0

# more folds than people
leave_groups_out(X, y, people, 5)
ValueError: n_splits: expected at most the number of groups, 4, got 5

# a class that one person alone shows
leave_groups_out(X, np.where(people==3, 'turn', y), people, nf=1, epochs=1, recipe='base', verbose=False)
UserWarning: y: expected each class in two groups or more, got ['turn'] in one alone; the network evaluated on that
    group has never seen them

# metrics of another task
leave_groups_out(X, y, people, metrics='rmse')
ValueError: metrics: expected for classification some of

# epochs for a training of one's own
leave_groups_out(X, y, people, train=lambda dls: learn, epochs=5)
TypeError: epochs: expected none with train=, which makes and trains the network itself, got 5

## Names of tsai

# an import
from xceptiontime.all import TSClassifier
ImportError: TSClassifier: expected a name of xceptiontime, got one of tsai; here: XceptionTimeClassifier(), an
    estimator of scikit-learn; or ts_learner(dls)

# a network that is not here
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

# the seed of splits
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
    name: str    # what is done
    call: str
    error: type
    words: str   # of the error's sentence
    begins: bool # do they begin it?

def read_case(text):
    "A mistake from the lines of one case"
    name,*call,said = text.replace('\n    ', ' ').splitlines() # an indented line goes on with the line before
    error,_,words = said.partition(': ')
    error = getattr(builtins, error)
    begins = not words.startswith('... ')
    return Mistake(name.removeprefix('# '), '\n'.join(call), error, words.removeprefix('... '), begins)

def read_cases(text):
    "The mistakes by what they are about: {heading: [mistake]}"
    table = {}
    for part in text.strip().split('\n\n'):
        if part.startswith('## '): rows = table[part.removeprefix('## ')] = []
        else: rows.append(read_case(part))
    return table

table = read_cases(CASES)

def namespace():
    "What the calls see"
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
    "The error that `call` raises, or the warning that points at it, in a folder of its own that holds a model"
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
