"The command in scripts: results as JSON, quiet runs, files that can be joined, exit codes"
import csv, gzip, io, json, os, re, signal, subprocess, sys, time
import numpy as np
import pytest
import torch
from small import call
from xceptiontime.data.sets import make_bumps
from xceptiontime.runtime.predictor import Predictor

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Series with labels in a.npz, and a model of them in m"
    d = tmp_path_factory.mktemp('scripts')
    X,y,_ = make_bumps(40, c_in=1, length=30, seed=0)
    np.savez(d/'a.npz', X=X, y=np.array(['10','9'])[y])
    assert call('train', d/'a.npz', '--out', d/'m', '--epochs', 1, '--nf', 2, '--quiet')==0
    return d

def test_quiet(folder, tmp_path, capsys):
    "No plan, epochs or scores are printed; errors and warnings are"
    args = 'train', folder/'a.npz', '--epochs', 1, '--nf', 1, '--quiet', '--out', tmp_path/'m'
    assert call(*args)==0
    assert capsys.readouterr()==('','')
    assert Predictor.from_pretrained(tmp_path/'m').training['epochs']==1
    assert call(*args)==2
    out,err = capsys.readouterr()
    assert out=='' and '--force' in err
    assert call('predict', tmp_path/'m', folder/'a.npz', '--quiet', '--out', tmp_path/'p.csv')==0
    assert capsys.readouterr()==('','') and (tmp_path/'p.csv').exists()
    assert call('predict', tmp_path/'m', folder/'a.npz', '--quiet')==2
    assert '--quiet: expected with --out' in capsys.readouterr().err

def test_train_as_json(folder, tmp_path, capsys):
    "One object on standard output, the plan and the epochs on standard error"
    assert call('train', folder/'a.npz', '--epochs', 2, '--nf', 1, '--json', '--out', tmp_path/'m')==0
    out,err = capsys.readouterr()
    res = json.loads(out)
    assert out.count('\n')==1 and 'series to train on' in err and 'valid_loss' in err
    assert res['folder']==str(tmp_path/'m') and res['seconds']>0
    assert res['training']['epochs']==2 and res['training']['series']==32
    assert res['evaluation']['series']==8 and set(res['evaluation']['classes'])=={'9','10'}
    assert call('train', folder/'a.npz', '--epochs', 1, '--nf', 1, '--json', '--quiet', '--out', tmp_path/'n')==0
    out,err = capsys.readouterr()
    assert json.loads(out)['training']['epochs']==1 and err==''
    assert call('train', folder/'no.npz', '--json')==2
    assert capsys.readouterr().out==''

def test_evaluate_and_info_as_json(folder, capsys):
    assert call('evaluate', folder/'m', folder/'a.npz', '--json')==0
    out,err = capsys.readouterr()
    res,p = json.loads(out),Predictor.from_pretrained(folder/'m')
    with np.load(folder/'a.npz') as f: X,y = f['X'],f['y']
    pred = p.predict(X)
    assert 'accuracy' in err and res['task']=='classification'
    assert res['accuracy']==pytest.approx((pred==y).mean())
    assert res['classes']['10']['series']==(y=='10').sum()
    assert res['classes']['10']['recall']==pytest.approx((pred[y=='10']=='10').mean())
    assert call('info', folder/'m', '--json')==0
    res = json.loads(capsys.readouterr().out)
    assert res['architecture']=='XceptionTime' and res['arguments']['nf']==2
    assert res['outputs']==res['task']['vocab']==['9','10']
    assert res['parameters']==sum(o.numel() for o in p.model.parameters())
    assert res['training']['shortest']==30 and res['bytes']>1000

def test_one_series_has_no_r2(tmp_path, capsys):
    "A number that JSON cannot hold is null"
    X,y,_ = make_bumps(20, c_in=1, length=30, seed=0)
    np.savez(tmp_path/'a.npz', X=X, y=y+.5)
    np.savez(tmp_path/'one.npz', X=X[:1], y=y[:1]+.5)
    assert call('train', tmp_path/'a.npz', '--epochs', 1, '--nf', 1, '--quiet', '--out', tmp_path/'m')==0
    assert call('evaluate', tmp_path/'m', tmp_path/'one.npz', '--json')==0
    out, = json.loads(capsys.readouterr().out)['outputs'].values()
    assert out['r2'] is None and out['rmse']==out['mae']>0

def test_arch_and_device(folder, tmp_path, capsys):
    out = tmp_path/'m'
    args = 'train', folder/'a.npz', '--epochs', 1, '--arch', 'InceptionTime', '--nf', 2, '--device', 'cpu'
    assert call(*args, '--out', out)==0
    assert call('info', out, '--json')==0
    res = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert res['architecture']=='InceptionTime' and res['arguments']['nf']==2
    for name in ('nowhere','meta',*['cuda']*(not torch.cuda.is_available())):
        assert call('evaluate', out, folder/'a.npz', '--device', name)==2
        assert f"--device: invalid device of this machine value: '{name}'" in capsys.readouterr().err
    assert call('train', folder/'a.npz', '--arch', 'ResNet', '--out', tmp_path/'n')==2
    assert '--arch' in capsys.readouterr().err

def test_a_warning_is_one_line(tmp_path, capsys):
    "The name of the command and the sentence, without a place in the code"
    rows = [[i, *np.random.default_rng(i).normal(size=20).round(3), 'ab'[i%2]] for i in range(20)]
    with open(tmp_path/'a.csv', 'w', newline='') as f:
        csv.writer(f).writerows([['nr', *(f't{i}' for i in range(20)), 'kind'], *rows])
    args = 'train', tmp_path/'a.csv', '--label', 'kind', '--epochs', 1, '--nf', 1, '--quiet', '--out', tmp_path/'m'
    assert call(*args)==0
    out,err = capsys.readouterr()
    assert out=='' and len(err.splitlines())==1
    assert err.startswith('xceptiontime train: --columns: ') and '.py' not in err

@pytest.fixture
def archive(tmp_path):
    "A folder with one data set that can be learned and one that is broken"
    for name,text in (('Good',None), ('Bad','@data\nbroken')):
        (tmp_path/'sets'/name).mkdir(parents=True)
        for part,seed in (('TRAIN',0), ('TEST',1)):
            path = tmp_path/'sets'/name/f'{name}_{part}.tsv'
            X,y,_ = make_bumps(12, c_in=1, length=30, seed=seed)
            np.savetxt(path, np.c_[y,X[:,0]], delimiter='\t', fmt='%.4g')
            if text: path.write_text(text)
    return tmp_path

def test_a_failed_unit_is_exit_code_1(archive, capsys):
    "The other units are trained, and the table has all; errors of an earlier call do not count"
    args = '--data', archive/'sets', '--out', archive/'res', '--seeds', 0, '--epochs', 1, '--recipe', 'base'
    assert call('bench', '--sets', 'Good', 'Bad', *args)==1
    out,err = capsys.readouterr()
    assert 'Good' in out and 'expected a result of each of 2 units, got 1 error, the first is Bad' in err
    assert call('bench', '--sets', 'Good', *args, '--quiet')==0
    assert capsys.readouterr()==('','')
    assert call('bench', '--sets', 'Good', *args, '--networks', 2)==0
    assert 'base-1epochs-2networks' in capsys.readouterr().out

def test_the_first_lines_tell_the_plan(tmp_path, capsys):
    "Series, channels by name, classes; epochs, batches, rate and device; after the first epoch the time left"
    rng = np.random.default_rng(0)
    rows = [[s, *rng.normal(size=2).round(3), 'fist' if s%2 else 'rest'] for s in range(20) for _ in range(30)]
    with open(tmp_path/'a.csv', 'w', newline='') as f:
        csv.writer(f).writerows([['nr','left','right','how'], *rows])
    args = 'train', tmp_path/'a.csv', '--id', 'nr', '--label', 'how', '--nf', 1, '--device', 'cpu'
    assert call(*args, '--epochs', 3, '--bs', 8, '--lr', .01, '--out', tmp_path/'m')==0
    out = capsys.readouterr().out.splitlines()
    assert out[0]=="16 series to train on, 4 to validate on; channels 'left', 'right', 2 classes: 'fist', 'rest'"
    assert out[1]=='3 epochs; 2 batches of 8 series a pass; learning rate 0.01; on cpu'
    assert out[2].split()[0]=='epoch' and out[3].split()[0]=='0'
    assert re.fullmatch(r'\S+ seconds an epoch, about \d+ seconds? left', out[4])
    assert out[5].split()[0]=='1'

def test_a_training_of_more_than_ten_minutes_says_so(folder, tmp_path, capsys, monkeypatch):
    "Before the first epoch begins"
    monkeypatch.setattr('xceptiontime.cli.plan.step_seconds', lambda learn: 76.)
    args = 'train', folder/'a.npz', '--epochs', 2, '--bs', 8, '--nf', 1, '--out', tmp_path/'m'
    assert call(*args)==0
    out = capsys.readouterr().out.splitlines()
    assert out[2]=='training takes about 11 minutes; fewer --epochs take less' # 8 batches, 16 of 64 more to validate
    assert out[3].split()[0]=='epoch'
    monkeypatch.setattr('xceptiontime.cli.plan.step_seconds', lambda learn: 69.)
    assert call(*args, '--force')==0
    assert 'training takes' not in capsys.readouterr().out

def test_the_estimate_changes_no_weight(folder, tmp_path, capsys, monkeypatch):
    "The same seed gives the same file with it and without it"
    for name in 'with','without':
        args = 'train', folder/'a.npz', '--epochs', 1, '--bs', 8, '--nf', 1, '--seed', 0, '--device', 'cpu', '--out'
        assert call(*args, tmp_path/name)==0
        monkeypatch.setattr('xceptiontime.cli.plan.step_seconds', lambda learn: 0.)
    a,b = ((tmp_path/name/'model.safetensors').read_bytes() for name in ('with','without'))
    assert a==b

def predicted(capsys, *args):
    "The header and rows of predictions, and the text on standard error"
    assert call('predict', *args)==0
    out,err = capsys.readouterr()
    header,*rows = csv.reader(out.splitlines())
    return header,rows,err

def test_predictions_join_with_their_file(folder, tmp_path, capsys):
    "The row counted from 0, or the id; the truth where the file holds one, in any task"
    header,rows,_ = predicted(capsys, folder/'m', folder/'a.npz')
    with np.load(folder/'a.npz') as f: X,y = f['X'],f['y']
    assert header==['row','label','prob_9','prob_10','truth']
    assert [r[0] for r in rows]==[str(i) for i in range(40)] and [r[-1] for r in rows]==y.tolist()
    np.savez(tmp_path/'new.npz', X=X[:3])
    header,rows,_ = predicted(capsys, folder/'m', tmp_path/'new.npz')
    assert header==['row','label','prob_9','prob_10'] and len(rows)==3
    for name,targets in dict(two=np.c_[y=='9',y=='10']*1.5, many=np.array([[1,0,1],[0,1,1]]*20)).items():
        np.savez(tmp_path/f'{name}.npz', X=X, y=targets)
        args = '--epochs', 1, '--nf', 1, '--quiet', '--out', tmp_path/name
        assert call('train', tmp_path/f'{name}.npz', *args)==0
        header,rows,_ = predicted(capsys, tmp_path/name, tmp_path/f'{name}.npz')
        if name=='two':
            assert header==['row',*header[1:3],*(f'truth_{o}' for o in header[1:3])]
            assert [[float(o) for o in r[3:]] for r in rows]==targets.tolist()
        else:
            assert header[-1]=='truth' and [r[-1] for r in rows[:2]]==['0; 2','1; 2']

def test_series_of_another_length_warn_once(folder, tmp_path, capsys):
    with np.load(folder/'a.npz') as f: X,y = f['X'],f['y']
    assert predicted(capsys, folder/'m', folder/'a.npz')[2]==''
    np.savez(tmp_path/'short.npz', X=X[:,:,:29], y=y)
    said = ('40 of 40 series have another length than any in training, such as 29 steps; '
            'the model was trained on 30 steps')
    assert predicted(capsys, folder/'m', tmp_path/'short.npz')[2].splitlines()==[f'xceptiontime predict: {said}']
    assert call('evaluate', folder/'m', tmp_path/'short.npz')==0
    assert said in capsys.readouterr().err
    args = '--epochs', 1, '--nf', 1, '--quiet', '--resample', 20, '--out', tmp_path/'r'
    assert call('train', folder/'a.npz', *args)==0
    assert predicted(capsys, tmp_path/'r', tmp_path/'short.npz')[2]==''

def test_a_stream_of_less_than_a_window_says_so(folder, capsys, monkeypatch):
    "Without a prediction the exit code is 1"
    def code(n):
        monkeypatch.setattr('sys.stdin', io.StringIO('1.5\n'*n))
        return call('stream', folder/'m', '--window', 30)
    assert code(29)==1
    out,err = capsys.readouterr()
    assert len(out.splitlines())==1
    assert err=='xceptiontime stream: no window was full: expected 30 samples in a row or more, got 29 in all\n'
    assert code(0)==1 and 'got 0 in all' in capsys.readouterr().err
    assert code(30)==0 and capsys.readouterr().err==''

process = sys.executable, '-c', 'import sys; from xceptiontime.start import main; sys.exit(main())'

def piped(*args, data, cwd):
    "Run the command in a separate process, with `data` on standard input and a folder for temporary files"
    (cwd/'tmp').mkdir(exist_ok=True)
    res = subprocess.run([*process, *map(str, args)], input=data, cwd=cwd, capture_output=True,
                         env={**os.environ, 'TMPDIR': str(cwd/'tmp')})
    assert not [*(cwd/'tmp').glob('xceptiontime-*')]
    return res.returncode,res.stdout.decode(),res.stderr.decode()

def a_table(folder):
    "The series of `folder` as a .csv with a row per series and the label last"
    with np.load(folder/'a.npz') as f: X,y = f['X'],f['y']
    text = io.StringIO()
    csv.writer(text).writerows([[*(f't{i}' for i in range(30)),'kind'], *([*x[0],k] for x,k in zip(X, y))])
    return text.getvalue().encode()

@pytest.mark.slow
def test_a_table_on_standard_input(folder, tmp_path, capsys):
    "`-` gives the same as the file, also compressed; errors name standard input; no temporary file is left"
    data = a_table(folder)
    (tmp_path/'a.csv').write_bytes(data)
    expected = predicted(capsys, folder/'m', tmp_path/'a.csv', '--label', 'kind')[:2]
    for given in (data, gzip.compress(data)):
        code,out,err = piped('predict', folder/'m', '-', '--label', 'kind', data=given, cwd=tmp_path)
        header,*rows = csv.reader(out.splitlines())
        assert (code,err)==(0,'') and (header,rows)==expected
    code,out,_ = piped('evaluate', folder/'m', '-', '--label', 'kind', '--json', data=data, cwd=tmp_path)
    assert code==0 and json.loads(out)['series']==40
    args = 'train', '-', '--label', 'kind', '--epochs', 1, '--nf', 1, '--quiet'
    assert piped(*args, data=data, cwd=tmp_path)==(0,'','')
    assert (tmp_path/'stdin-model'/'model.safetensors').exists()
    code,out,err = piped('predict', folder/'m', '-', data=b'a,b\n1,x\n', cwd=tmp_path)
    assert (code,out)==(2,'') and err.startswith('xceptiontime predict: standard input, line 2: expected a number')
    for given,words in ((b'','standard input, line 1: expected names'), (b'@relation x','give its name instead of -')):
        code,_,err = piped('evaluate', folder/'m', '-', '--label', 'kind', data=given, cwd=tmp_path)
        assert code==2 and words in err and err.count('\n')==1

def test_ctrl_c_while_standard_input_is_read(folder, tmp_path):
    "One line, exit code 130, and no copy of the input"
    p = subprocess.Popen([*process, 'predict', folder/'m', '-'], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                         env={**os.environ, 'TMPDIR': str(tmp_path)})
    p.stdin.write(a_table(folder))
    p.stdin.flush()
    while not [*tmp_path.glob('xceptiontime-*/stdin.csv')]: time.sleep(.05)
    p.send_signal(signal.SIGINT)
    out,err = p.communicate(timeout=60)
    assert p.returncode==130 and out==b'' and err.count(b'\n')==1 and b'nothing was written' in err
    assert not [*tmp_path.iterdir()]

def test_an_error_begins_with_the_option(folder, tmp_path, capsys):
    "--label in place of label in Python; an argument without dashes is unchanged"
    (tmp_path/'a.csv').write_text('x,y,how\n1.5,2,a\n3,4.5,b\n')
    assert call('train', tmp_path/'a.csv', '--label', 'who', '--out', tmp_path/'m')==2
    says = "xceptiontime train: --label: expected one of the columns 'x', 'y', 'how'"
    assert capsys.readouterr().err.startswith(says)
    assert call('predict', tmp_path/'none', tmp_path/'a.csv')==2
    assert capsys.readouterr().err.startswith('xceptiontime predict: folder: expected a model folder')
