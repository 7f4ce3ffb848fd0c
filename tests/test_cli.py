"The command on real files from aeon's wheel, in this process and in separate processes"
import csv, os, pty, re, signal, subprocess, sys, time
from importlib.util import find_spec
from pathlib import Path
import numpy as np
import pandas as pd
import pytest
from small import call
from xceptiontime.data.formats import read_series
from xceptiontime.runtime.predictor import Predictor

sets = Path(find_spec('aeon').submodule_search_locations[0])/'datasets'/'data'
def ts(name, part): return str(sets/name/f'{name}_{part}.ts')
command = [sys.executable, '-c', 'import sys; from xceptiontime.cli import main; sys.exit(main())']

def run(*args, cwd):
    "Run the command in a separate process"
    res = subprocess.run([*command, *map(str, args)], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert res.returncode==0, res.stdout+res.stderr
    return res

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "Folders of two models, GunPoint and BasicMotions"
    d = tmp_path_factory.mktemp('cli')
    for name in ('GunPoint','BasicMotions'):
        assert call('train', ts(name,'TRAIN'), '--valid', ts(name,'TEST'), '--out', d/name, '--epochs', 2)==0
    return d

@pytest.mark.slow
def test_in_a_process_of_its_own(tmp_path):
    "No warning of fastai's or torch's imports is printed"
    args = 'train', ts('GunPoint','TRAIN'), '--valid', ts('GunPoint','TEST'), '--out', 'm', '--epochs', 1
    assert run(*args, cwd=tmp_path).stderr==''
    assert run('predict', 'm', ts('GunPoint','TEST'), '--out', 'p.csv', cwd=tmp_path).stderr==''
    assert 'accuracy' in run('evaluate', 'm', ts('GunPoint','TEST'), cwd=tmp_path).stdout

@pytest.mark.parametrize('name,channels,classes', [
    ('GunPoint', 1, ['1','2']),
    ('BasicMotions', 6, ['badminton','running','standing','walking'])])
def test_train_then_predict(trained, capsys, name, channels, classes):
    assert call('predict', trained/name, ts(name,'TEST'), '--out', trained/f'{name}.csv')==0
    assert capsys.readouterr().err==''
    X,y = read_series(ts(name,'TEST'))
    predictor = Predictor.from_pretrained(trained/name)
    assert predictor.preprocess.c_in==channels
    with open(trained/f'{name}.csv', newline='') as f: rows = list(csv.DictReader(f))
    assert list(rows[0])==['row','label', *(f'prob_{c}' for c in sorted(np.unique(y))),'truth']
    assert [(r['row'],r['truth']) for r in rows]==[(str(i),o) for i,o in enumerate(y)]
    assert len(rows)==len(y)
    assert [c.lower() for c in np.unique(y)]==classes
    probs = np.array([[float(r[f'prob_{c}']) for c in predictor.task.vocab] for r in rows])
    np.testing.assert_allclose(probs, predictor.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-5)
    assert [r['label'] for r in rows]==predictor.predict(X).tolist()
    assert call('evaluate', trained/name, ts(name,'TEST'))==0
    accuracy = float(re.search(r'accuracy ([\d.]+)', capsys.readouterr().out)[1])
    assert accuracy==pytest.approx((predictor.predict(X)==y).mean(), abs=1e-4)
    assert not [p for p in trained.rglob('.*')]

def test_predict_to_standard_output(trained, capsys):
    assert call('predict', trained/'GunPoint', ts('GunPoint','TEST'))==0
    out = capsys.readouterr().out.splitlines()
    assert out[0]=='row,label,prob_1,prob_2,truth' and len(out)==151

def test_a_column_too_many(trained, tmp_path, capsys):
    "Labels that are numbers would be read as another step without --label"
    X,y = read_series(ts('GunPoint','TEST'))
    rows = np.column_stack([X[:5,0], y[:5].astype(int)])
    steps = ','.join(f't{i}' for i in range(150))
    np.savetxt(tmp_path/'new.csv', rows, delimiter=',', header=f'{steps},kind', comments='')
    args = 'predict', trained/'GunPoint', tmp_path/'new.csv'
    assert call(*args)==0
    out,err = capsys.readouterr()
    assert len(out.splitlines())==6 and len(err.splitlines())==1
    said = ('new.csv has 151 steps a series, and the model was trained on 150; if one of the columns '
            'is no step, --label, --target or --columns leaves it out')
    assert said in err
    for more in (('--label','kind'), ('--columns',steps)):
        assert call(*args, *more)==0
        assert capsys.readouterr().err==''

def test_info(trained, capsys):
    assert call('info', trained/'BasicMotions')==0
    out = capsys.readouterr().out
    for words in ('XceptionTime', 'classification', 'Badminton, Running, Standing, Walking',
                  "6 channels, missing='raise', scale='channel'"): assert words in out

@pytest.mark.slow
def test_same_seed_same_weights(trained, tmp_path):
    weights = (trained/'GunPoint'/'model.safetensors').read_bytes()
    args = 'train', ts('GunPoint','TRAIN'), '--valid', ts('GunPoint','TEST'), '--epochs', 2, '--out'
    run(*args, 'again', cwd=tmp_path)
    assert (tmp_path/'again'/'model.safetensors').read_bytes()==weights
    assert call(*args, tmp_path/'other', '--seed', 1)==0
    assert (tmp_path/'other'/'model.safetensors').read_bytes()!=weights

@pytest.mark.slow
def test_demo_twice_is_the_same(tmp_path):
    res = [run('demo', '--epochs', 1, cwd=tmp_path) for _ in range(2)]
    first,second = (r.stdout for r in res)
    assert res[0].stderr==''
    assert all(l.isprintable() for l in first.splitlines()) # plain lines, without a terminal
    def numbers(out):
        "The lines without a time"
        lines = [l for l in out.splitlines() if not l.startswith('seconds') and 'time' not in l]
        return [l for l in lines if not re.search(r'\d\d:\d\d$', l)]
    assert numbers(first)==numbers(second) and 'accuracy' in first
    folder = tmp_path/'xceptiontime-demo'
    assert sorted(os.listdir(folder))==['config.json','confusion_matrix.png','model.safetensors']
    assert (folder/'confusion_matrix.png').read_bytes()[:8]==b'\x89PNG\r\n\x1a\n'
    assert [p.name for p in tmp_path.iterdir()]==['xceptiontime-demo']

@pytest.mark.slow
def test_progress_in_a_terminal(tmp_path):
    here,there = pty.openpty()
    p = subprocess.Popen([*command, 'demo', '--epochs', '1'], cwd=tmp_path,
                         stdout=there, stderr=there, stdin=subprocess.DEVNULL)
    os.close(there)
    out = b''
    while True:
        try: part = os.read(here, 65536)
        except OSError: break
        if not part: break
        out += part
    assert p.wait()==0
    assert b'%' in out and '█'.encode() in out

def one_class(d):
    (d/'one.tsv').write_text('a\t1\t2\na\t2\t3\n')
    return 'one.tsv'

wrong = [
    (('train','missing.ts'), 'missing.ts'),
    (('train','notes.docx'), '.ts'),
    (('train',one_class), 'classes'),
    (('train',ts('GunPoint','TRAIN'),'--out','GunPoint'), '--force'),
    (('train',ts('GunPoint','TRAIN'),'--valid',ts('BasicMotions','TEST')), 'channel'),
    (('train',ts('Covid3Month','TRAIN'),'--valid',ts('GunPoint','TEST')), 'expected targets like those of'),
    (('evaluate','GunPoint',ts('Covid3Month','TEST')), 'class labels'),
    (('train',ts('GunPoint','TRAIN'),'--epochs','-1'), '--epochs'),
    (('train',ts('GunPoint','TRAIN'),'--lr','nan'), '--lr'),
    (('train',ts('GunPoint','TRAIN'),'--epoch-count','3'), '--epoch-count'),
    (('predict','GunPoint',ts('BasicMotions','TEST')), 'expected 1 channel, got 6'),
    (('predict','nowhere',ts('BasicMotions','TEST')), 'nowhere'),
    (('predict','GunPoint',ts('GunPoint','TEST'),'--out','taken.csv'), '--force'),
    (('evaluate','GunPoint',ts('BasicMotions','TEST')), 'label'),
    (('info','.'), 'config.json'),
    (('train','a.ts','--epoch-count','3'), 'xceptiontime train --help explains'),
    (('demo','--out','full'), '--force'),
]
@pytest.mark.parametrize('args,words', wrong)
def test_wrong_use(trained, tmp_path, monkeypatch, capsys, args, words):
    monkeypatch.chdir(tmp_path)
    for name in ('GunPoint','BasicMotions'): (tmp_path/name).symlink_to(trained/name)
    (tmp_path/'notes.docx').write_text('')
    (tmp_path/'taken.csv').write_text('mine')
    (tmp_path/'full').mkdir()
    (tmp_path/'full'/'thesis.tex').write_text('mine')
    args = [a(tmp_path) if callable(a) else a for a in args]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}
    assert call(*args)==2
    err = capsys.readouterr().err
    assert len(err.splitlines())==1 and words in err
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}==before

@pytest.mark.slow
def test_one_length(tmp_path, capsys):
    "Series of unequal length, resampled or cropped to one length; both options together raise an error"
    args = 'train', ts('JapaneseVowels','TRAIN'), '--valid', ts('JapaneseVowels','TEST'), '--epochs', 1
    for how,steps in (('resample',20), ('crop',7)):
        assert call(*args, f'--{how}', steps, '--out', tmp_path/how)==0
        assert Predictor.from_pretrained(tmp_path/how).preprocess.settings()[how]==steps
    capsys.readouterr()
    assert call(*args, '--resample', 20, '--crop', 7, '--out', tmp_path/'both')==2
    said = 'crop: expected None where series are resampled to 20 steps, got 7\n'
    assert capsys.readouterr().err.endswith(said) and not (tmp_path/'both').exists()

@pytest.mark.slow
def test_interrupted(tmp_path):
    def listen(): signal.signal(signal.SIGINT, signal.SIG_DFL) # a shell starts background processes with SIGINT ignored
    p = subprocess.Popen([*command, 'demo', '--epochs', '50'], cwd=tmp_path, preexec_fn=listen,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert 'train' in p.stdout.readline() # training begins
    time.sleep(1)
    p.send_signal(signal.SIGINT)
    out,err = p.communicate(timeout=60)
    said = 'xceptiontime demo: interrupted, nothing was written; --resume saves each epoch'
    assert p.returncode==130 and err.splitlines()[-1]==said
    assert not list(tmp_path.iterdir())

def test_alone_it_prints_its_help(capsys):
    assert call()==0
    out,err = capsys.readouterr()
    assert err=='' and all(o in out for o in ('COMMAND','train','predict','bench'))

@pytest.mark.parametrize('name', ['demo','train','predict','evaluate','info','export'])
def test_help_has_an_example(name, capsys):
    assert call(name, '--help')==0
    assert f'example:\n  xceptiontime {name}' in capsys.readouterr().out

def test_regression(tmp_path, capsys):
    "Numeric targets, from training to scores that numpy computes again from the CSV"
    out = tmp_path/'covid'
    train,test = ts('Covid3Month','TRAIN'),ts('Covid3Month','TEST')
    assert call('train', train, '--valid', test, '--out', out, '--epochs', 1, '--bs', 16)==0
    assert sorted(p.name for p in out.iterdir())==['config.json','model.safetensors','predictions.png']
    assert call('predict', out, test, '--out', tmp_path/'v.csv')==0
    with open(tmp_path/'v.csv', newline='') as f: rows = list(csv.DictReader(f))
    v = np.array([float(r['value']) for r in rows])
    X,y = read_series(test)
    np.testing.assert_allclose(v, Predictor.from_pretrained(out).predict(X), rtol=1e-6)
    capsys.readouterr()
    assert call('evaluate', out, test)==0
    rmse,mae,r2,mean = map(float, capsys.readouterr().out.splitlines()[1].split()[1:])
    assert rmse==pytest.approx(np.sqrt(np.mean((v-y)**2)), rel=1e-4)
    assert mae==pytest.approx(np.abs(v-y).mean(), rel=1e-4)
    assert r2==pytest.approx(1-((v-y)**2).sum()/((y-y.mean())**2).sum(), abs=1e-4)
    learned = read_series(train)[1]
    assert mean==pytest.approx(np.sqrt(np.mean((y-learned.mean())**2)), rel=1e-4)
    assert call('evaluate', out, ts('GunPoint','TEST'))==2
    assert 'expected numbers' in capsys.readouterr().err

def test_several_networks(tmp_path, capsys):
    train = ts('ItalyPowerDemand','TRAIN')
    assert call('train', train, '--out', tmp_path/'m', '--epochs', 1, '--networks', 2, '--nf', 1)==0
    capsys.readouterr()
    assert call('info', tmp_path/'m')==0
    assert 'XceptionTime x 2' in (out := capsys.readouterr().out) and 'nf=1' in out
    assert call('train', train, '--out', tmp_path/'n', '--networks', 0)==2
    assert '--networks' in capsys.readouterr().err

def test_several_labels(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=(60,3))>.5).astype(int)
    np.savez(tmp_path/'a.npz', X=rng.normal(size=(60,2,30)), y=y)
    assert call('train', tmp_path/'a.npz', '--out', tmp_path/'m', '--epochs', 1)==0
    assert call('predict', tmp_path/'m', tmp_path/'a.npz', '--out', tmp_path/'p.csv')==0
    with open(tmp_path/'p.csv', newline='') as f: rows = list(csv.DictReader(f))
    p = np.array([[float(r[f'prob_{i}']) for i in range(3)] for r in rows])
    assert [r['labels'] for r in rows]==['; '.join(str(i) for i in range(3) if q[i]>=.5) for q in p]
    capsys.readouterr()
    assert call('evaluate', tmp_path/'m', tmp_path/'a.npz')==0
    tp,n = ((p>=.5)&(y==1)).sum(0),(p>=.5).sum(0)+y.sum(0)
    f1 = float(re.search(r'macro F1 ([\d.]+)', capsys.readouterr().out)[1])
    assert f1==pytest.approx((2*tp/n).mean(), abs=1e-4)

@pytest.mark.slow
def test_killed_training_goes_on(tmp_path):
    args = 'train', ts('GunPoint','TRAIN'), '--valid', ts('GunPoint','TEST'), '--epochs', '3', '--resume', '--out'
    run(*args, 'whole', cwd=tmp_path)
    p = subprocess.Popen([*command, *args, 'cut'], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    while not p.stdout.readline().split()[:1]==['1']: pass # the second epoch has ended, and the first is saved
    p.kill()
    p.communicate()
    assert sorted(f.name for f in tmp_path.iterdir())==['cut.checkpoint','whole']
    out = run(*args, 'cut', cwd=tmp_path).stdout
    assert not re.search(r'^ +0 ', out, re.M) # that epoch is not trained again
    cut,whole = ((tmp_path/name/'model.safetensors').read_bytes() for name in ('cut','whole'))
    assert cut==whole
    assert sorted(f.name for f in tmp_path.iterdir())==['cut','whole']

def test_ids_of_several_columns(tmp_path, capsys, monkeypatch):
    "Trial numbers that repeat for each subject: a series for each trial, named in the predictions"
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [[s, i, *rng.normal(size=2), 'fist' if i%2 else 'rest'] for s in 'abc' for i in range(4) for _ in range(20)]
    with open('trials.csv', 'w', newline='') as f:
        csv.writer(f).writerows([['subject','trial','left','right','how'], *rows])
    ids = '--id','subject,trial'
    assert call('train', 'trials.csv', *ids, '--label', 'how', '--out', 'm', '--epochs', 1)==0
    out = capsys.readouterr().out
    assert "10 series to train on, 2 to validate on; channels 'left', 'right', 2 classes" in out
    assert call('predict', 'm', 'trials.csv', *ids)==0
    out = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert out[0][:2]==['subject','trial']
    assert [o[:2] for o in out[1:]]==[[s,str(i)] for s in 'abc' for i in range(4)]

def test_a_table_of_excel(tmp_path, capsys, monkeypatch):
    "Decimal commas, dates with the day first, UTF-16, packed, and words for missing values"
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [[s, f'{t+1:02d}.02.2020', *rng.normal(size=2), 'größer' if s%2 else 'kleiner']
            for s in range(12) for t in range(20)]
    df = pd.DataFrame(rows, columns=['wer','wann','links','rechts','wie'])
    df.to_csv('t.csv.gz', index=False, sep=';', decimal=',', encoding='utf-16')
    how = '--id','wer','--time','wann','--sep',';','--decimal',','
    assert call('train', 't.csv.gz', *how, '--label', 'wie', '--epochs', 1, '--dayfirst')==0
    assert "channels 'links', 'rechts', 2 classes" in capsys.readouterr().out
    def accuracy(*file):
        assert call('evaluate', 't-model', *file, *how, '--label', 'wie')==0
        return re.search(r'accuracy.*', capsys.readouterr().out)[0]
    df.to_csv('l.csv', index=False, sep=';', decimal=',', encoding='cp1252')
    assert accuracy('l.csv', '--encoding', 'cp1252')==accuracy('t.csv.gz')
    capsys.readouterr()
    assert call('predict', 't-model', 't.csv.gz', '--id', 'wer', *how[4:])==0
    assert "in training the column 'wann' sorted the steps" in capsys.readouterr().err
    assert call('predict', 't-model', 't.csv.gz', *how, '--dayfirst')==0
    assert 'sorted' not in capsys.readouterr().err
    df.assign(links=['NULL']+[1.5]*239).to_csv('n.csv', index=False)
    assert call('predict', 't-model', 'n.csv', '--id', 'wer', '--columns', 'links,rechts', '--na-values', '1.5')==2
    assert 'NaN' in capsys.readouterr().err
    assert call('predict', 't-model', 't.csv.gz', *how, '--no-dayfirst')==2
    assert "expected a number or a date in column 'wann'" in capsys.readouterr().err

def test_advice_names_options(tmp_path, capsys, monkeypatch):
    "An error gives advice for the shell, not for Python"
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(20, 12))
    df = pd.DataFrame(rows, columns=[f't{i}' for i in range(12)]).assign(wie=['a','b']*10)
    df.to_csv('de.csv', index=False, sep=';', decimal=',')
    df.assign(t3=[np.nan, *rows[1:,3]], wie=rows[:,0].round(6)).to_csv('v.csv', index=False)
    for given,words in (
        (('de.csv', '--label', 'wie'), "; --sep ';' separates them"),
        (('de.csv', '--label', 'wie', '--sep', ';'), '; --decimal , reads a comma before the fraction'),
        (('v.csv', '--target', 'wie'), '; --missing interpolate and its like fill in'),
        (('v.csv', '--label', 'wie'), '; --target in place of --label learns them as numbers'),
    ):
        assert call('train', *given)==2
        assert capsys.readouterr().err.endswith(words+'\n')

def test_another_seed_is_another_run(tmp_path, capsys, monkeypatch):
    "`--resume` continues the interrupted run, and refuses the checkpoint of another run"
    from xceptiontime.data.sets import make_bumps
    from xceptiontime.train.checkpoint import Checkpoint
    X,y,_ = make_bumps(40, c_in=1, length=30, seed=0)
    np.savez(tmp_path/'a.npz', X=X, y=np.array(['a','b'])[y])
    args = 'train', tmp_path/'a.npz', '--epochs', 2, '--bs', 16, '--resume', '--out', tmp_path/'m'
    class Cut(Checkpoint):
        def after_epoch(self):
            super().after_epoch()
            raise KeyboardInterrupt
    with monkeypatch.context() as m:
        m.setattr('xceptiontime.train.checkpoint.Checkpoint', Cut)
        assert call(*args, '--seed', 0)==130
    capsys.readouterr()
    for other,told in (('--seed',7),'seed (0, now 7)'),(('--lr',.5),'lr ('),(('--scale','sample'),"'sample'"):
        assert call(*args, *other)==2
        err = capsys.readouterr().err
        assert told in err and 'another run needs another folder' in err and err.count('\n')==1
        assert not (tmp_path/'m').exists()
    assert call(*args, '--seed', 0)==0
    assert not re.search(r'^ +0 ', capsys.readouterr().out, re.M) # that epoch is not trained again
