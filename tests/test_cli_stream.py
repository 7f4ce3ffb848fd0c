"`xceptiontime stream` and `export` in separate processes"
import csv, io, json, os, signal, subprocess, sys, threading, time
import numpy as np
import pytest
import torch
from small import onnx_session
from xceptiontime.cli import main
from xceptiontime.data.windows import sliding_windows
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.runtime.decisions import Hold, Majority, Reject
from xceptiontime.runtime.predictor import Predictor
from xceptiontime.runtime.stream import StreamingPredictor
from xceptiontime.processing.tasks import Classification, MultiLabel, Regression

command = [sys.executable, '-c', 'import sys; from xceptiontime.cli import main; sys.exit(main())']
signal_ = np.random.default_rng(0).normal(size=(3,60)).round(3)

def save(folder, task):
    torch.manual_seed(0)
    X = np.random.default_rng(1).normal(size=(20,3,16)).astype(np.float32)
    predictor = Predictor(XceptionTime(3, task.c_out, nf=2, head='linear'), task, Preprocess().fit(X))
    predictor.model.head[3].bias.data -= predictor.scores(X).mean(0)
    predictor.save_pretrained(folder)
    return predictor

@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stream')/'model'
    return folder, save(folder, Classification(['fist','open','rest, or none']))

def lines(X): return [','.join(map(str, x)) for x in X.T]

def call(args, monkeypatch, text):
    monkeypatch.setattr('sys.stdin', io.StringIO(text))
    return main(list(map(str, args)))

def test_live(model):
    "Each prediction is written before the next sample is sent"
    folder,predictor = model
    windows,*_,(_,start,stop) = sliding_windows(signal_, 16, 4, with_spans=True)
    probs,labels = predictor.predict_proba(windows),predictor.predict(windows)
    env = {k:v for k,v in os.environ.items() if k!='PYTHONUNBUFFERED'} # which would flush the output
    p = subprocess.Popen([*command, 'stream', str(folder), '--window', '16', '--hop', '4'],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    limit = threading.Timer(120, p.kill) # without a flush the test would wait forever
    limit.start()
    def read(): return next(csv.reader([p.stdout.readline() or pytest.fail('no line came')]))
    assert read()==['start','stop','label','prob_fist','prob_open','prob_rest, or none'] # before the first sample
    p.stdin.write('a,b,c\n')
    i = 0
    for t,line in enumerate(lines(signal_), 1):
        p.stdin.write(line+'\n')
        p.stdin.flush()
        if i<len(stop) and t==stop[i]:
            row = read()
            assert [int(o) for o in row[:2]]==[start[i],stop[i]] and row[2]==labels[i]
            np.testing.assert_allclose(np.array(row[3:], float), probs[i], atol=2e-6)
            i += 1
    assert p.communicate()[0]=='' and p.returncode==0 and i==len(stop)==12
    limit.cancel()

def test_seconds_and_smoothing(model, monkeypatch, capsys):
    folder,predictor = model
    options = '--window 0.16 --hop .04 --rate 100 --smooth mean --last 2'.split()
    assert call(['stream',folder,*options], monkeypatch, '\n'.join(lines(signal_)))==0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    probs = predictor.predict_proba(sliding_windows(signal_, 16, 4)[0])
    assert [r['stop'] for r in rows[:3]]==['0.160000','0.200000','0.240000']
    assert float(rows[5]['prob_open'])==pytest.approx(probs[4:6,1].mean(), abs=2e-6)

def test_a_majority_has_the_last_word(model, monkeypatch, capsys):
    "The label is the majority of the last predictions, also if the probabilities differ"
    folder,predictor = model
    windows = sliding_windows(signal_, 16, 4)[0]
    args = ['stream',folder,'--window',16,'--hop',4,'--smooth','majority','--last',9]
    assert call(args, monkeypatch, '\n'.join(lines(signal_)))==0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    live = StreamingPredictor(predictor, 16, 4, smooth='majority', last=9)
    labels = [p.label for p in live.push(signal_)]
    assert [r['label'] for r in rows]==labels
    assert labels!=predictor.predict(windows).tolist()

def decided(args, monkeypatch, capsys):
    "The labels that the command writes, and its messages"
    assert call(['stream',*args], monkeypatch, '\n'.join(lines(signal_)))==0
    out,err = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(out))),err

@pytest.mark.parametrize('options,steps', [
    ('--reject .34 --rest fist', [Reject(.34, 'fist')]), ('--reject .34', [Reject(.34)]),
    ('--majority 3', [Majority(3)]), ('--hold 60ms', [Hold(3)]), ('--hold .08', [Hold(4)]),
    ('--hold 0.04s --majority 5', [Majority(5), Hold(2)])], ids=str)
def test_decisions(model, monkeypatch, capsys, options, steps):
    "Each line has the decision from the probabilities, empty if there is none yet"
    folder,predictor = model
    rows,err = decided([folder,*'--window 0.16 --hop .02 --rate 100'.split(),*options.split()], monkeypatch, capsys)
    live = StreamingPredictor(predictor, 16, 2, decide=steps)
    want = [p.label or '' for p in live.push(signal_)]
    assert [r['label'] for r in rows]==want and err==''
    windows = sliding_windows(signal_, 16, 2)[0]
    np.testing.assert_allclose([float(r['prob_open']) for r in rows], predictor.predict_proba(windows)[:,1], atol=2e-6)
    assert want!=predictor.predict(windows).tolist() and ('' in want)==(options=='--reject .34')

def test_dead_band(tmp_path, monkeypatch, capsys):
    predictor = save(tmp_path/'m', Regression([5.,0.], [2.,1.], ['angle','force']))
    values = predictor.predict(sliding_windows(signal_, 20, 4)[0]) # (windows, 2)
    width = np.median(abs(values), 0).round(4)
    rows,_ = decided([tmp_path/'m','--window',20,'--hop',4,'--dead-band',f'{width[0]},{width[1]}'], monkeypatch, capsys)
    want = np.where(abs(values)<width, 0, values)
    assert 0<(want==0).sum()<want.size
    np.testing.assert_allclose([[float(r['angle']),float(r['force'])] for r in rows], want, rtol=1e-5)

def test_decisions_of_the_folder(tmp_path, monkeypatch, capsys):
    predictor = save(tmp_path/'m', Classification(['fist','open','rest']))
    predictor.decisions = [Majority(3)]
    predictor.save_pretrained(tmp_path/'m')
    def labels(*options):
        rows,err = decided([tmp_path/'m','--window',16,'--hop',2,*options], monkeypatch, capsys)
        return [r['label'] for r in rows],err
    asked,raw = labels('--majority','3'),labels('--no-decisions')
    kept,said = labels()
    assert kept==asked[0]!=raw[0] and asked[1]==raw[1]==''
    assert said==('xceptiontime stream: applies the decision steps of the model, [Majority(n=3)]; '
                  '--no-decisions leaves them out\n')
    assert labels('--hold','2')[1]==''

@pytest.mark.parametrize('task,names', [
    (MultiLabel(['a','b','c']), ['labels','prob_a','prob_b','prob_c']),
    (Regression(5., 2.), ['value']),
    (Regression([5.,0.], [2.,1.], ['angle','force']), ['angle','force'])])
def test_other_tasks(tmp_path, monkeypatch, capsys, task, names):
    predictor = save(tmp_path/'m', task)
    assert call(['stream',tmp_path/'m','--window',20], monkeypatch, '\n'.join(lines(signal_)))==0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0])==['start','stop',*names]
    want = task.activation(predictor.scores(sliding_windows(signal_, 20)[0])).numpy().reshape(3, -1)
    got = [[float(r[n]) for n in names if n!='labels'] for r in rows]
    np.testing.assert_allclose(got, want, atol=2e-6)
    if 'labels' in names:
        words = ['; '.join(v for v,p in zip('abc', w) if p>=.5) for w in want]
        assert [r['labels'] for r in rows]==words

def test_names_of_columns(tmp_path, monkeypatch, capsys):
    "Columns are found by name, and a missing name raises an error; without names they are the channels in order"
    predictor = save(tmp_path/'m', Classification(['a','b','c']))
    predictor.channels = ['left','mid','right']
    predictor.save_pretrained(tmp_path/'m')
    def answers(*lines):
        code = call(['stream',tmp_path/'m','--window',20], monkeypatch, '\n'.join(lines))
        return code,*capsys.readouterr()
    plain = answers(*lines(signal_))
    assert plain[0]==0 and len(plain[1].splitlines())==4
    assert answers('left,mid,right', *lines(signal_))==plain
    more = [f'{x[2]},12:00:{i:02},{x[0]},{x[1]}' for i,x in enumerate(signal_.T)]
    assert answers('right, clock ,left , mid', *more)==plain
    assert answers(*lines(signal_[[2,0,1]]))!=plain # the order matters
    for header in ('left,middle,right', 'left,left,mid,right', 'a,b'):
        code,_,err = answers(header, *lines(signal_))
        said = "line 1: expected a column for each of the channels ['left', 'mid', 'right'], got ['"
        assert code==2 and len(err.splitlines())==1 and said in err
    code,_,err = answers('right,clock,left,mid', *lines(signal_))
    assert code==2 and 'line 2: expected 4 values, one a column, got 3' in err
    code,_,err = answers('right,clock,left,mid', '1,2,3,x')
    assert code==2 and "line 2: expected numbers, got 'x'" in err

@pytest.mark.parametrize('text,words,code', [
    ('1,2,3\n1,2\n'+'1,2,3\n'*8, 'line 2: expected 3 values, one a channel, got 2', 0),
    ('a,b,c\n1,x,3\n', "line 2: expected numbers, got 'x'", 2),
    ('1,2,3\n1,x,3\n'+'1,2,3\n'*8, "line 2: expected numbers, got 'x'; the sample is lost", 0),
    ('1,b,3\n', "line 1: expected numbers, got 'b'", 2),
    ('a,b\n', 'line 1: expected 3 values, one a channel, got 2', 2),
    ('1,2,3\n1,nan,3\n'+'1,2,3\n'*8, 'the first is nan in channel 1 at sample 1 of the stream', 0),
    ('1,2,1e39\n', 'the first is inf in channel 2 at sample 0 of the stream', 2),
])
def test_wrong_lines(model, monkeypatch, capsys, text, words, code):
    assert call(['stream',model[0],'--window',4], monkeypatch, text)==code
    err = capsys.readouterr().err
    assert len(err.splitlines())==1 and words in err

def test_a_drop_out(model, monkeypatch, capsys):
    "Lines that cannot be read are lost samples: later times stay correct, and no window contains a lost sample"
    folder,predictor = model
    text = lines(signal_)
    text[20:23] = ['garbage','x,y,z','1,2']
    assert call(['stream',folder,'--window',16,'--hop',4], monkeypatch, '\n'.join(text))==0
    out,err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    starts = [0,4,24,28,32,36,40,44]
    assert [int(r['start']) for r in rows]==starts
    probs = predictor.predict_proba(np.stack([signal_[:,i:i+16] for i in starts]))
    np.testing.assert_allclose([float(r['prob_open']) for r in rows], probs[:,1], atol=2e-6)
    first,second = err.splitlines()
    assert first.endswith('line 21: expected 3 values, one a channel, got 1; the sample is lost')
    assert second=='xceptiontime stream: 3 samples in a row were lost'

@pytest.mark.parametrize('args,words', [
    (['--window','0.2'], 'window: expected a whole number of samples, got 0.2'),
    (['--window','0'], "--window: invalid positive number value: '0'"),
    (['--hop','3'], '--window'),
    (['--window','5','--smooth','median'], 'median'),
    (['--window','5','--reject','80'], "argument --reject: invalid number above 0 and up to 1 value: '80'"),
    (['--window','5','--reject','.8','--rest','relax'], "--rest: expected one of the classes 'fist', 'open',"),
    (['--window','5','--rest','fist'], '--rest: expected with --reject, got it alone'),
    (['--window','5','--majority','0'], "argument --majority: invalid whole number of 1 or more value: '0'"),
    (['--window','5','--hold','0.3s'], '--hold: expected a whole number of windows, got 0.3; --rate gives seconds'),
    (['--window','5','--dead-band','x'], "argument --dead-band: invalid positive numbers value: 'x'"),
    (['--window','5','--dead-band','1'], 'decide: expected steps for a classification task, got DeadBand(width=1.0'),
    (['--window','5','--hold','2','--no-decisions'], '--no-decisions: expected no other step beside it, got Hold(n=2)'),
])
def test_wrong_arguments(model, monkeypatch, capsys, args, words):
    try: code = call(['stream',model[0],*args], monkeypatch, '')
    except SystemExit as e: code = e.code
    err = capsys.readouterr().err
    assert code==2 and len(err.splitlines())==1 and words in err

@pytest.mark.slow
def test_reader_that_leaves(model):
    "`xceptiontime stream ... | head -1` ends without a message"
    text = '\n'.join(lines(np.tile(signal_, 200)))
    p = subprocess.Popen([*command, 'stream', str(model[0]), '--window', '4'], text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    try:
        p.stdin.write(text)
        p.stdin.close()
    except BrokenPipeError: pass
    assert p.stderr.read()=='' and p.wait(60)==0

@pytest.mark.slow
def test_interrupted(model):
    def listen(): signal.signal(signal.SIGINT, signal.SIG_DFL) # a shell starts background processes with SIGINT ignored
    p = subprocess.Popen([*command, 'stream', str(model[0]), '--window', '4'], text=True, preexec_fn=listen,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.readline() # the header: now it waits for samples
    time.sleep(.2)
    p.send_signal(signal.SIGINT)
    assert p.communicate(timeout=60)[1]=='xceptiontime stream: interrupted\n' and p.returncode==130

@pytest.mark.parametrize('option,lengths', [([],None), (['--lengths'],True), (['--no-lengths'],False)])
def test_export_asks_the_model_about_lengths(model, tmp_path, monkeypatch, option, lengths):
    import xceptiontime.runtime.export as export
    got = []
    def export_onnx(predictor, path, channels, lengths):
        got.append(lengths)
        open(path, 'w').close()
    monkeypatch.setattr(export, 'export_onnx', export_onnx)
    assert main(['export', str(model[0]), '--onnx', str(tmp_path/'m.onnx'), *option])==0
    assert got==[lengths]

@pytest.mark.slow
def test_export(model, tmp_path, capsys):
    folder,predictor = model
    file = tmp_path/'m.onnx'
    assert main(['export', str(folder), '--onnx', str(file), '--channels', 'x,y,z', '--lengths'])==0
    assert str(file) in capsys.readouterr().out
    s = onnx_session(file)
    assert json.loads(s.get_modelmeta().custom_metadata_map['channels'])==['x','y','z']
    X = signal_[None].astype(np.float32)
    probs = s.run(None, {'x': X, 'lengths': np.array([40])})[0]
    np.testing.assert_allclose(probs, predictor.predict_proba(X[:,:,:40]), atol=1e-5)
    before = file.read_bytes()
    for args,words in (([], '--force'),
                       (['--force','--channels','a'], "channels: expected 3 different names, got ['a']")):
        assert main(['export', str(folder), '--onnx', str(file), *args])==2
        err = capsys.readouterr().err
        assert len(err.splitlines())==1 and words in err
    assert file.read_bytes()==before and os.listdir(tmp_path)==['m.onnx']

def test_export_without_the_extra(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert main(['export', str(model[0]), '--onnx', str(tmp_path/'m.onnx')])==2
    assert "pip install 'xceptiontime[onnx]'" in capsys.readouterr().err

def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit): main(['stream', '--help'])
    assert 'example:\n  armband | xceptiontime stream gestures' in capsys.readouterr().out
