"After an error, a learner and its files are as before; what cannot work is refused before it begins"
import numpy as np
import pytest
from fastai.callback.tracker import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from fastai.learner import load_learner
from torch import nn
from small import X, classes, learner, same, two_labels
from test_saving import Full, TOLD
from xceptiontime.cli import main
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.train.learner import ts_learner

def weights(learn): return {k: v.clone() for k,v in learn.model.state_dict().items()}

@pytest.mark.parametrize('to', ['missing/x.pkl', 'x.pkl'])
def test_a_failed_export(tmp_path, to):
    "The data stays, and a later training is the one that would have been"
    one,two = (learner(path=tmp_path) for _ in range(2))
    for o in (one,two): o.fit(1, 1e-2)
    if to=='x.pkl':
        one.export(to)
        there = (tmp_path/to).read_bytes()
        one.odd = lambda: (yield) # which no pickle can hold
        one.odd = one.odd()
    dls,opt = one.dls,one.opt
    with pytest.raises((FileNotFoundError,TypeError)): one.export(to)
    assert one.dls is dls and one.opt is opt and len(one.dls.train)==1
    if to=='x.pkl':
        assert (tmp_path/to).read_bytes()==there and [o.name for o in tmp_path.iterdir()]==[to]
        del one.odd
    for o in (one,two): o.fit(1, 1e-2)
    assert same(weights(one), weights(two))

def test_export_and_go_on(tmp_path):
    one,two = (learner(path=tmp_path) for _ in range(2))
    for o in (one,two): o.fit(1, 1e-2)
    one.export()
    for o in (one,two): o.fit(1, 1e-2)
    assert same(weights(one), weights(two))
    loaded = load_learner(tmp_path/'export.pkl')
    with pytest.raises(ValueError, match='dls: expected series to train on, got none; load_learner'): loaded.fit(1)
    loaded.dls = one.dls
    loaded.fit(1)

@pytest.mark.parametrize('write', ['save','export'])
def test_full_disk(tmp_path, write):
    learn = learner(path=tmp_path)
    learn.model_dir = '.'
    names = dict(save=('best','best.pth'), export=('best.pkl','best.pkl'))
    given,name = names[write]
    getattr(learn, write)(given)
    there,kept = (tmp_path/name).read_bytes(),weights(learn)
    learn.fit(1, 1e-2)
    says = TOLD.format(name).replace('File too large.', '.*')
    with pytest.raises(OSError, match=says),Full(2000): getattr(learn, write)(given)
    assert (tmp_path/name).read_bytes()==there and [o.name for o in tmp_path.iterdir()]==[name]
    if write=='save':
        learn.load(given)
        assert same(weights(learn), kept)

def test_data_of_other_classes():
    learn = learner()
    before = weights(learn)
    learn.dls = TSDataLoaders.from_arrays(X, classes+5, seed=0)
    with pytest.raises(ValueError, match='dls: expected data for the task that this learner was made for'): learn.fit(1)
    assert same(weights(learn), before)

@pytest.mark.parametrize('make', [SaveModelCallback, EarlyStoppingCallback, ReduceLROnPlateau])
def test_what_is_monitored(make, tmp_path):
    learn = learner(path=tmp_path)
    before = weights(learn)
    with pytest.raises(ValueError, match="monitor: expected one of 'train_loss', 'valid_loss', 'accuracy', got 'acc'"):
        learn.fit(1, cbs=make(monitor='acc'))
    assert same(weights(learn), before)
    alone = TSDataLoaders.from_arrays(X, classes, (np.arange(24),))
    learn.dls = alone
    with pytest.raises(ValueError, match="monitor: expected 'train_loss', as no series are validated"):
        learn.fit(1, cbs=make())
    assert same(weights(learn), before)
    learn.fit(1, cbs=make(monitor='train_loss'))
    learn.lr_find(num_it=12, show_plot=False)

def test_epochs_that_were_skipped():
    learn = learner()
    learn.fit(2, 1e-2)
    learn.fit(5, 1e-2, start_epoch=4)
    assert learn.trained['epochs']==3
    learn.fit(1, 1e-2)
    assert learn.trained['epochs']==4

def test_weights_of_another_dtype(tmp_path):
    learn = learner()
    learn.model.double()
    says = r'model: expected weights of torch.float32, got torch.float64 .*model.float\(\)'
    with pytest.raises(ValueError, match=says): learn.save_pretrained(tmp_path/'m')
    learn.model.float()
    learn.save_pretrained(tmp_path/'m')

def test_stream_of_a_learner():
    learn = learner()
    want = StreamingPredictor(learn.predictor(), 40).push(X[0])
    got = StreamingPredictor(learn, 40).push(X[0])
    assert len(got)==1 and np.array_equal(got[0].probs, want[0].probs)
    with pytest.raises(TypeError, match='expected a TSLearner or a Predictor, got str'): StreamingPredictor('m', 40)

@pytest.mark.parametrize('loss,y,instead', [
    (nn.NLLLoss(), classes, 'CrossEntropyLoss'), (nn.BCELoss(), two_labels, 'BCEWithLogitsLoss')])
def test_losses_of_probabilities(loss, y, instead):
    with pytest.raises(ValueError, match=f'loss_func: expected a loss of scores, .*nn.{instead}'):
        learner(y=y, loss_func=loss)
    learner(y=y, loss_func=getattr(nn, instead)())

def test_loss_of_counts():
    learner(y=np.arange(24.)/2+.25, loss_func=nn.PoissonNLLLoss()).fit(1)

@pytest.mark.parametrize('seed', [1.5, 'a', -1])
def test_seed(seed):
    dls = TSDataLoaders.from_arrays(X, classes, seed=0)
    with pytest.raises((TypeError,ValueError), match='seed: expected a whole number'): ts_learner(dls, seed=seed)
    one,two = (ts_learner(dls, nf=2, seed=s) for s in (3,np.int64(3)))
    assert same(weights(one), weights(two))

# ---- the command

def table(path, n=12):
    rows = [','.join(f'{v:.3f}' for v in x[0,:8]) for x in X[:n]]
    path.write_text(','.join(f't{i}' for i in range(8))+',y\n'+''.join(f'{r},{"ab"[i%2]}\n' for i,r in enumerate(rows)))
    return path

def test_the_input_is_no_output(tmp_path, capsys):
    path = table(tmp_path/'w.csv')
    there = path.read_bytes()
    learner(X[:,:1,:8]).save_pretrained(tmp_path/'m')
    call = ['predict', str(tmp_path/'m'), str(path), '--label', 'y', '--out', str(path), '--force']
    assert main(call)!=0 and path.read_bytes()==there
    assert '--out: expected another file than the one to read' in capsys.readouterr().err

def test_size_of_validation(tmp_path, capsys):
    path = table(tmp_path/'w.csv')
    call = ['train', str(path), '--label', 'y', '--epochs', '1', '--out', str(tmp_path/'m'), '--quiet', '--valid-size']
    assert main([*call, '4'])==0
    assert Predictor.from_pretrained(tmp_path/'m').training['series']==8
    assert main([*call, '4', '--valid', str(path)])!=0
    assert '--valid-size: expected none with --valid' in capsys.readouterr().err
    with pytest.raises(SystemExit): main([*call, '1.5'])
    assert "--valid-size: invalid share below 1 or whole number value: '1.5'" in capsys.readouterr().err
