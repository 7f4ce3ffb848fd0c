"Decision steps against numpy, and decisions of a stream in chunks of any size"
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from small import interrupted
from torch import nn
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.decisions import DeadBand, Decide, Hold, Majority, Reject, Step
from xceptiontime.runtime.stream import StreamingPredictor

task = Classification(['fist','open','rest'])
vocab = np.array(['fist','open','rest'])

def of_rejected(probs, answers, below, to):
    "`Reject` in numpy, without a loop"
    sure = probs.max(1)>=below
    if to is not None: return np.where(sure, answers, to)
    last = np.maximum.accumulate(np.where(sure, np.arange(len(sure)), -1)) # the newest sure one
    return np.where(last<0, None, answers.astype(object)[last])

def of_majority(answers, n):
    "The most frequent of each n predictions; of equally frequent ones the newest"
    res = []
    for i in range(len(answers)):
        seen = answers[max(0, i-n+1):i+1].tolist()
        res.append(max(seen, key=lambda a: (seen.count(a), len(seen)-seen[::-1].index(a))))
    return np.array(res, answers.dtype)

def of_held(answers, n):
    "Decisions: each lasts from a change to the first other prediction at least n windows later"
    res,i = answers.copy(),0
    while i<len(answers):
        later = np.flatnonzero(answers[i+n:]!=answers[i])
        end = i+n+later[0] if len(later) else len(answers)
        res[i:end] = answers[i]
        i = end
    return res

def of_band(values, width, to):
    if to is not None: return np.where(np.abs(values-to)<width, to, values).astype(values.dtype)
    res = values.copy()
    for i in range(1, len(res)):
        res[i] = np.where(np.abs(values[i]-res[i-1])<width, res[i-1], values[i])
    return res

def random_probs(seed, n, classes=3):
    z = np.exp(2*np.random.default_rng(seed).normal(size=(n,classes)))
    return z/z.sum(1, keepdims=True)

numbers = st.integers(0, 10**6), st.integers(0, 60)

@settings(deadline=None)
@given(*numbers, st.floats(.05, 1), st.sampled_from(['rest','fist',None]))
def test_reject(seed, n, below, to):
    probs = random_probs(seed, n)
    got = Decide(Reject(below, to), task)(probs)
    assert got.tolist()==of_rejected(probs, vocab[probs.argmax(1)], below, to).tolist()

@settings(deadline=None)
@given(*numbers, st.integers(1, 9))
def test_majority(seed, n, last):
    probs = random_probs(seed, n)
    wanted = of_majority(vocab[probs.argmax(1)], last)
    assert Decide(Majority(last), task)(probs).tolist()==wanted.tolist()

@settings(deadline=None)
@given(*numbers, st.integers(1, 9))
def test_hold(seed, n, windows):
    probs = random_probs(seed, n)
    assert Decide(Hold(windows), task)(probs).tolist()==of_held(vocab[probs.argmax(1)], windows).tolist()

@settings(deadline=None)
@given(*numbers, st.floats(.01, 2), st.sampled_from([0.,1.,None]), st.sampled_from([(),(2,)]))
def test_dead_band(seed, n, width, to, outputs):
    values = np.random.default_rng(seed).normal(size=(n,*outputs)).astype(np.float32)
    width = width if not outputs else [width,3*width]
    got = Decide(DeadBand(width, to), Regression(np.zeros(outputs), np.ones(outputs)))(values)
    assert got.shape==values.shape
    np.testing.assert_array_equal(got, of_band(values.astype(np.float64), width, to))

def test_votes_that_are_level():
    "As LibEMG's mode without ties; with ties the newest wins here, and the smallest number in LibEMG"
    answers = np.array([0,0,1,1,2,1,2,2])
    probs = np.eye(3)[answers]
    assert Decide(Majority(4), task)(probs).tolist()==vocab[[0,0,0,1,1,1,2,2]].tolist()
    smallest = [np.bincount(answers[max(0, i-3):i+1]).argmax() for i in range(8)]
    assert smallest==[0,0,0,0,1,1,1,2]

def test_at_the_threshold():
    "A probability equal to the threshold is accepted; a value at the edge of the band is outside it"
    probs = np.array([[.5,.25,.25],[.25,.5,.25]])
    assert Decide(Reject(.5, 'rest'), task)(probs).tolist()==['fist','open']
    assert Decide(Reject(np.nextafter(.5, 1), 'rest'), task)(probs).tolist()==['rest','rest']
    assert Decide(DeadBand(.5), Regression(0., 1.))([.5,.25,-.5]).tolist()==[.5,0,-.5]

def test_rounding_of_float32_changes_no_decision():
    "Windows of a stream are float32; those of a whole recording may be float32 or float64"
    rng = np.random.default_rng(0)
    below = [float(b) for b in rng.uniform(.34, .99, 99).round(2)]
    for b in below:
        probs = np.array([[b,1-b,0],[1-b,0,b]], np.float32)
        at_once = [Decide(Reject(b, 'rest'), task)(p).tolist() for p in (probs, probs.astype(np.float64))]
        steps = Decide(Reject(b, 'rest'), task)
        assert [steps.step(a, p) for a,p in zip(vocab[probs.argmax(1)], probs)]==at_once[0]==at_once[1]
        of_value,values = Regression(0., 1.),np.float32([b,-b,3])
        steps = Decide(DeadBand(b, .1*b), of_value)
        assert [steps.step(v, v) for v in values]==Decide(DeadBand(b, .1*b), of_value)(values).tolist()
        steps = Decide(DeadBand(b), of_value) # at the edge
        wide = Decide(DeadBand(b), of_value)(values.astype(np.float64)).tolist()
        assert [steps.step(v, v) for v in values]==wide

class Last(nn.Module):
    "A network whose scores are the last sample of each channel"
    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
    def forward(self, x, lengths=None): return x[:,:,-1]

def predictor(task):
    zeros = np.zeros((1,task.c_out,4), np.float32)
    return Predictor(Last(), task, Preprocess(scale=None).fit(zeros))

STEPS = st.lists(st.one_of(
    st.builds(Reject, st.floats(.34, 1), st.sampled_from(['rest',None])),
    st.builds(Majority, st.integers(1, 6)), st.builds(Hold, st.integers(1, 6)),
    st.builds(lambda s: Hold(seconds=s), st.floats(.005, .2))), max_size=4)
CHUNKS = st.lists(st.integers(0, 12), max_size=15)

def by_hand(steps, probs, hop):
    "Decisions by the functions above"
    answers = vocab[probs.argmax(1)]
    for s in steps:
        if isinstance(s, Reject): answers = of_rejected(probs, answers, s.below, s.to)
        if isinstance(s, Majority): answers = of_majority(answers, s.n)
        if isinstance(s, Hold):
            answers = of_held(answers, s.n or int(np.ceil(round(s.seconds/hop, 6))))
    return answers.tolist()

def pushed(stream, signal, sizes):
    return [p for chunk in np.split(signal, np.cumsum(sizes), axis=1) for p in stream.push(chunk)]

def without_first_none(steps):
    "Is there always a decision? Before the first sure window there may be none, which has another test"
    return not any(isinstance(s, Reject) and s.to is None for s in steps)

@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), STEPS.filter(without_first_none), CHUNKS, st.integers(1, 4))
def test_same_decisions_for_any_chunks(seed, steps, sizes, hop):
    "Sample by sample, in chunks, at once, of the probabilities alone, and by hand"
    signal = 2*np.random.default_rng(seed).normal(size=(3,80)).astype(np.float32)
    def new(): return StreamingPredictor(predictor(task), .02, hop/100, rate=100, decide=steps)
    whole = new().push(signal)
    decisions,probs = [p.label for p in whole],np.stack([p.probs for p in whole])
    assert [p.label for p in pushed(new(), signal, sizes)]==decisions
    assert [p.label for p in pushed(new(), signal, [1]*80)]==decisions
    assert Decide(steps, task, hop/100)(probs).tolist()==decisions
    assert by_hand(steps, probs, hop/100)==decisions

@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), CHUNKS, st.sampled_from([0.,None]))
def test_same_values_for_any_chunks(seed, sizes, to):
    signal = np.random.default_rng(seed).normal(size=(2,60)).astype(np.float32)
    numbers = Regression([0.,0.], [1.,1.])
    def new(): return StreamingPredictor(predictor(numbers), 2, 1, decide=DeadBand([.3,1.], to))
    whole = new().push(signal)
    assert np.stack([p.probs for p in whole]).tolist()==signal[:,1:].T.tolist() # the probabilities of the model
    got = np.stack([p.label for p in pushed(new(), signal, sizes)])
    np.testing.assert_array_equal(got, np.stack([p.label for p in whole]))
    np.testing.assert_array_equal(got, of_band(signal[:,1:].T, np.array([.3,1.]), to))

def scored(*answers):
    "A signal (3 channels, steps) with these letters as predictions, in upper case where the model is sure"
    places = {'f': 0, 'o': 1, 'r': 2}
    return np.stack([np.eye(3)[places[a.lower()]]*(9 if a.isupper() else .1) for a in ''.join(answers)], 1)

def letters(ps): return ''.join('-' if p.label is None else p.label[0] for p in ps)

def test_before_the_first_sure_one():
    "There is no decision, and later steps treat no decision as a vote"
    stream = StreamingPredictor(predictor(task), 1, decide=[Reject(.8)])
    assert letters(stream.push(scored('ffOfFo')))=='--ooff'
    stream = StreamingPredictor(predictor(task), 1, decide=[Reject(.8), Majority(3)])
    assert letters(stream.push(scored('ffOFF')))=='---ff' # none, none, open: none has the majority
    stream = StreamingPredictor(predictor(task), 1, decide=[Reject(.8), Hold(3)])
    assert letters(stream.push(scored('ffOFFF')))=='--ooof'

@pytest.mark.parametrize('again', [lambda s: s.gap(5), lambda s: s.reset()], ids=['gap','reset'])
@pytest.mark.parametrize('step', [Reject(.8), Majority(5), Hold(4)], ids=repr)
def test_a_gap_begins_anew(step, again):
    stream,new = (StreamingPredictor(predictor(task), 1, decide=step) for _ in range(2))
    stream.push(scored('FF'))
    assert letters(stream.gap(0).push(scored('o')))=='f' # a gap of 0 keeps the state
    again(stream)
    after = scored('oOfFr')
    assert letters(stream.push(after))==letters(new.push(after))

def test_a_refused_chunk_leaves_no_trace():
    stream = StreamingPredictor(predictor(task), 1, decide=[Majority(3)], bs=2)
    stream.push(scored('FF'))
    bad = scored('OOOO')
    bad[0,3] = np.nan
    with pytest.raises(ValueError, match='chunk: expected finite numbers'): stream.push(bad)
    scores = stream.predictor.scores
    stream.predictor.scores = interrupted(scores, 2, [])
    with pytest.raises(KeyboardInterrupt): stream.push(scored('OOOO'))
    stream.predictor.scores = scores
    assert letters(stream.push(scored('OFO')))=='ffo' # F F O, F O F, O F O

def test_steps_after_smoothing():
    "`Reject` sees the mean of the probabilities; a majority by `smooth` is the first step"
    signal = scored('FOFOFO')
    rest = Reject(.8, to='rest')
    stream = StreamingPredictor(predictor(task), 1, smooth='mean', last=2, decide=rest)
    assert letters(stream.push(signal))=='frrrrr'
    stream = StreamingPredictor(predictor(task), 1, smooth='majority', last=3, decide=Hold(2))
    assert repr(stream.decide)=='[Majority(n=3), Hold(n=2)]'
    plain = StreamingPredictor(predictor(task), 1, decide=[Majority(3), Hold(2)])
    assert letters(stream.push(signal))==letters(plain.push(signal))=='fffooo' # votes are f o f o f o

def test_two_streams_share_no_memory():
    steps = [Majority(5), Hold(3), Reject(.8)]
    one,two = (StreamingPredictor(predictor(task), 1, decide=steps) for _ in range(2))
    one.push(scored('FFFFFFFF'))
    assert letters(two.push(scored('OO')))=='oo'

def test_facts_and_repr():
    steps = [Reject(.8, to='rest'), Hold(seconds=.3)]
    said = "Reject(below=0.8, to='rest'), Hold(seconds=0.3)"
    stream = StreamingPredictor(predictor(task), .02, .01, rate=100, decide=steps)
    assert f'decide=[{said}]' in repr(stream)
    facts = stream.facts()
    assert {k: facts[k] for k in ('window','hop','smoothing','decisions')}==dict(
        window='0.02 s', hop='0.01 s', smoothing='none', decisions=said)
    assert facts['task']=='classification'
    stream = StreamingPredictor(predictor(task), 2, smooth='mean', last=3)
    assert (stream.facts()['smoothing'],stream.facts()['decisions'])==('mean of 3 probabilities','none')

@pytest.mark.parametrize('task,decide,words', [
    (task, Reject(.8, to='relax'), "to: expected one of the classes 'fist', 'open', 'rest', got 'relax'"),
    (task, DeadBand(1), r'decide: expected steps for a classification task, got DeadBand\(width=1.0, to=0.0\)'),
    (Regression(0., 1.), [Majority(3)], r'decide: expected steps for a regression task, got Majority\(n=3\)'),
    (MultiLabel(['a','b']), [Reject(.8)], r'decide: expected steps for a multilabel task, got Reject\(below=0.8'),
    (task, ['majority'], "decide: expected a list of steps such as Reject and Majority, got 'majority'"),
    (task, [Majority], 'decide: expected a list of steps such as Reject and Majority, got <class'),
    (task, Hold(seconds=1), r'seconds: expected a stream with rate=, got Hold\(seconds=1\) without'),
    (Regression([0.,0.], [1.,1.]), DeadBand([1,2,3]), 'width: expected one, or one for each of 2 outputs, got 3')])
def test_wrong_steps(task, decide, words):
    with pytest.raises((ValueError,TypeError), match=words):
        StreamingPredictor(predictor(task), 2, decide=decide)

def network(task, **kwargs):
    "A network that can be saved in a folder"
    torch.manual_seed(0)
    preprocess = Preprocess().fit(np.random.default_rng(1).normal(size=(9,2,12)).astype(np.float32))
    model = XceptionTime(2, task.c_out, nf=2, adaptive_size=4, ks=(5,3,3), head='linear').eval()
    return Predictor(model, task, preprocess, **kwargs)

def opened(p, folder): return Predictor.from_pretrained(p.save_pretrained(folder))
def plainly(steps): return [(type(s).__name__, s.settings()) for s in steps]

KEPT = [
    (task, [Reject(.4, 'rest'), Majority(3), Hold(seconds=.04)]), (task, [Reject(np.float32(.5)), Hold(np.int64(2))]),
    (Classification([3,7,9]), [Reject(.4, to=7)]), (Classification(np.array([3,7,9])), [Reject(.4, to=np.int64(9))]),
    (Regression([0.,0.], [1.,1.]), DeadBand([.3,1.], None)), (Regression(0., 1.), DeadBand(np.float32(.03), .05))]

@pytest.mark.parametrize('task,steps', KEPT, ids=str)
def test_kept_in_a_folder(tmp_path, task, steps):
    "A stream of the opened folder decides like one with these steps, also in chunks; other steps replace them"
    p = network(task, decisions=steps)
    new,signal = opened(p, tmp_path/'m'),np.random.default_rng(0).normal(size=(2,80)).cumsum(1)
    assert plainly(new.decisions)==plainly(p.decisions) and p.config()['format']==4
    assert new.config()['decisions']==p.config()['decisions']
    def labels(p, sizes=(), **kwargs):
        return [np.asarray(o.label).tolist() for o in
                pushed(StreamingPredictor(p, .12, .02, rate=100, **kwargs), signal, sizes)]
    def alike(a, b): # outputs differ in the last bit if the batch size differs
        return np.allclose(a, b, rtol=0, atol=1e-6) if isinstance(task, Regression) else a==b
    want,undecided = labels(network(task), decide=steps),labels(network(task))
    assert alike(labels(new), want) and alike(labels(new, [1]*80), want) and not alike(want, undecided)
    assert alike([np.asarray(o).tolist() for o in Decide(new.decisions, task, .02)(task.activation(
        p.scores(np.stack([signal[:,i:i+12] for i in range(0, 69, 2)]))).numpy())], want)
    assert alike(labels(new, decide=[]), undecided)
    assert {type(o.label) for o in StreamingPredictor(new, 12, decide=[]).push(signal)} <= {
        str,int,np.str_,np.int64,np.float32,np.ndarray,float}

def test_folders_without_open_as_before(tmp_path):
    for folder in (Path(__file__).parent/'fixtures'/'format1').glob('*/config.json'):
        first = Predictor.from_pretrained(folder.parent)
        assert first.decisions==[] and StreamingPredictor(first, 40).decide.steps==[]
    config = network(task).config()
    assert config['format']==1 and 'decisions' not in config

def test_steps_of_one_model_are_no_memory_of_another():
    p = network(task, decisions=Majority(3))
    one,two = StreamingPredictor(p, 12),StreamingPredictor(p, 12)
    one.push(np.ones((2,36)))
    assert len(one.decide.steps[0].recent)==3 and two.decide.steps[0].recent==p.decisions[0].recent==()

class Stop(Step):
    def __call__(self, answer, probs): return 'rest'

def test_a_step_of_ones_own_streams_and_is_not_saved(tmp_path):
    p = network(task, decisions=Stop())
    assert {o.label for o in StreamingPredictor(p, 12).push(np.ones((2,36)))}=={'rest'}
    with pytest.raises(TypeError, match="decisions: expected steps among .* to save, got Stop; a step of your own"):
        p.save_pretrained(tmp_path/'m')
    assert not (tmp_path/'m').exists()

def test_an_adapted_model_keeps_them():
    p = network(task, decisions=Majority(3))
    assert plainly(p.adapt(np.random.default_rng(0).normal(size=(9,2,12))).decisions)==plainly(p.decisions)
