"What people bring along works: numbers of numpy, parts of fastai, networks of their own"
import json, pickle
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.learner import Learner
from torch import nn
from small import OfX, X, classes, close, learner, splits
from xceptiontime.data.augment import Jitter, TSCutMix, TSMixUp
from xceptiontime.data.blocks import TSBlock
from xceptiontime.data.dataset import TSDataLoader
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.models.inception import InceptionTime
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.train.estimator import XceptionTimeClassifier
from xceptiontime.train.learner import ts_learner

@pytest.mark.parametrize('given', [
    dict(nf=np.int64(2)), dict(ks=np.int64(8)), dict(ks=(np.int64(3),np.int64(5),np.int64(7))),
    dict(mu=np.int64(8)), dict(resample=np.int64(20)), dict(crop=np.int64(20)),
    dict(length_channel=np.False_), dict(epochs=np.int64(1))], ids=lambda o: '-'.join(o))
def test_numbers_of_a_numpy_grid(given):
    "An estimator that trained with them can be pickled"
    clf = XceptionTimeClassifier(**{'epochs':1, 'nf':2, 'random_state':0, **given}).fit(X, classes)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))

@pytest.mark.parametrize('arch, given', [
    (XceptionTime, dict(adaptive_size=np.int32(9), residual=np.False_)),
    (InceptionTime, dict(depth=np.int64(3)))])
def test_numbers_of_numpy_in_a_folder(tmp_path, arch, given):
    dls = TSDataLoaders.from_arrays(X, classes, splits, resample=np.int16(20))
    folder = ts_learner(dls, arch, nf=np.int64(2), **given).save_pretrained(tmp_path/'model')
    config = json.loads((folder/'config.json').read_text())
    assert {k: config['arguments'][k] for k in given}==given and config['preprocess']['resample']==20

def far(**kwargs): return learner(X*50+1000, seed=0, bs=8, **kwargs)

def test_a_loader_of_a_dataset():
    "Its batches are preprocessed, so that losses are those of the learner's own loader"
    learn = far()
    with learn.no_bar():
        close(learn.validate(dl=TSDataLoader(learn.dls.valid_ds, bs=8)), learn.validate(), 1e-5)

def test_loaders_of_datasets():
    learn = far()
    parts = learn.dls.train_ds,learn.dls.valid_ds
    dls = TSDataLoaders.from_dsets(*parts, bs=8, seed=0, device='cpu')
    other = ts_learner(dls, nf=2, seed=0)
    for o in (learn,other):
        with o.no_bar(),o.no_logging(): o.fit(1, 1e-2)
    close(other.recorder.values, learn.recorder.values, 1e-6)
    close(other.get_X_preds(X*50+1000)[0], learn.get_X_preds(X*50+1000)[0], 1e-6)

class Masks(Callback):
    "The numbers in the channels of masks that training sees"
    def before_batch(self): self.seen = self.x[:,2:].unique().tolist()

def test_added_noise_leaves_masks():
    gaps = X.copy()
    gaps[:,0,::5] = np.nan
    learn,masks = learner(gaps, missing='mask'),Masks()
    learn.dls.add_tfms([Jitter(1., p=1.)], 'after_batch')
    with learn.no_bar(),learn.no_logging(): learn.fit(1, cbs=masks)
    assert masks.seen==[0,1]

def test_a_function_leaves_numbers_to_predict():
    y = np.random.default_rng(0).normal(size=24)
    def batch(f): return TSDataLoaders.from_arrays(X, y, splits, batch_tfms=f).valid.one_batch()
    plain,twice = batch(None),batch(lambda x: x*2)
    close(twice[0], 2*plain[0], 0)
    close(twice[1], plain[1], 0)

def test_two_networks_without_lengths():
    learn = learner(arch=lambda *args, nf: OfX(*args), n_networks=2)
    with learn.no_bar(),learn.no_logging(): learn.fit(1)
    assert learn.get_X_preds(X)[0].shape==(24,3)

@pytest.mark.parametrize('mix', [TSMixUp, TSCutMix])
def test_mixing_with_weights_of_classes(mix):
    "If nothing is mixed, the loss is the one without mixing"
    losses = []
    for cb in (None, mix(1e-6)):
        learn = learner(loss_func=nn.CrossEntropyLoss(torch.tensor([1.,5.,9.])))
        with learn.no_bar(),learn.no_logging(): learn.fit(1, 0., cbs=cb)
        losses.append(learn.recorder.values[0][0])
    assert abs(losses[1]-losses[0])<.05

def test_a_gap_in_validation_of_a_data_block():
    gaps = X.copy()
    gaps[20,0,3] = np.nan
    block = DataBlock((TSBlock(missing='raise'),CategoryBlock), splitter=IndexSplitter(splits[1]),
                      get_x=lambda i: gaps[i], get_y=lambda i: classes[i])
    learn = Learner(block.dataloaders(range(24), bs=8, device='cpu'), XceptionTime(2, 3, nf=2))
    with learn.no_bar(),learn.no_logging():
        for f in (lambda: learn.fit(1), lambda: learn.predict(20)):
            with pytest.raises(ValueError, match='get_x: .* 1 value that is NaN, the first in channel 0, step 3'):
                f()
        learn.predict(21)
    with pytest.raises(ValueError, match='X: .* the first in series 20, channel 0, step 3'):
        TSDataLoaders.from_dblock(block, range(24))
