"Model folders during other writes, with flipped bits, on a full disk, of other users: old, new, or an error"
import hashlib, json, os, re, resource, shutil, stat, subprocess, sys, tempfile, threading, time
from pathlib import Path
import numpy as np, pytest, torch
from xceptiontime.base.files import whole_file
from xceptiontime.cli import main
from xceptiontime.data.ts import write_ts
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.export import export_onnx, export_program

X = np.random.default_rng(0).normal(size=(3,1,20)).astype(np.float32)
first = Path(__file__).parent/'fixtures'/'format1'

def sure(answer, *vocab, **settings):
    "A model of two classes that always predicts `answer`"
    model = XceptionTime(1, 2, nf=1, head='linear', **settings)
    for p in model.head[3].parameters(): torch.nn.init.zeros_(p)
    model.head[3].bias.data[vocab.index(answer)] = 5.
    return Predictor(model, Classification(list(vocab)), Preprocess().fit(X))

# `a` and `b` have the same shapes; mixed, they would predict 'never' or 'no'
a,b = sure('old', 'old', 'never'),sure('new', 'no', 'new')
c = sure('wide', 'no', 'wide', ks=[9,5,3]) # of other shapes

def answer(folder): return Predictor.from_pretrained(folder).predict(X)[0]

def files(folder): return {f.name: f.read_bytes() for f in Path(folder).iterdir()}

# during writes of other processes

WRITER = """
import sys
from xceptiontime.runtime import Predictor
folder,n,*models = sys.argv[1:]
models = [Predictor.from_pretrained(m) for m in models]
print('ready', flush=True)
for i in range(int(n)): models[i%len(models)].save_pretrained(folder)
"""

def writer(folder, n, *models):
    p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', WRITER, folder, str(n), *models],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline()=='ready\n', p.stderr.read()
    return p

def opened_while_replaced(tmp_path, n):
    "The number of each prediction while another process replaces the folder `n` times"
    models = [m.save_pretrained(tmp_path/m.task.vocab[1]) for m in (a,b,c)]
    folder,counts = a.save_pretrained(tmp_path/'m'),{}
    p = writer(folder, n, *models)
    while p.poll() is None:
        assert folder.is_dir() # at any moment
        got = answer(folder)
        counts[got] = counts.get(got, 0)+1
    assert p.returncode==0, p.stderr.read()
    p.communicate()
    assert counts and set(counts)<={'old','new','wide'}, counts
    assert sorted(files(folder))==['config.json','model.safetensors']
    return counts

@pytest.mark.slow
def test_opened_while_replaced(tmp_path): opened_while_replaced(tmp_path, 20)

@pytest.mark.slow
def test_opened_while_replaced_long(tmp_path): assert len(opened_while_replaced(tmp_path, 200))==3

def test_replaced_between_the_two_files(tmp_path, monkeypatch):
    "Another process replaces the folder after this one has read config.json, but not the weights"
    from xceptiontime.runtime import folder as room
    folder,build = a.save_pretrained(tmp_path/'m'),room._build
    for model,want in ((b,'new'),(c,'wide'),(a,'old')):
        def meanwhile(*args):
            monkeypatch.setattr(room, '_build', build)
            model.save_pretrained(folder)
            return build(*args)
        monkeypatch.setattr(room, '_build', meanwhile)
        assert answer(folder)==want

def test_replaced_by_a_folder_of_the_first_format(tmp_path, monkeypatch):
    "Without a fingerprint, and by two renames of the folder, as with `mv`"
    from xceptiontime.runtime import folder as room
    def plain(model, name):
        folder = model.save_pretrained(tmp_path/name)
        config = json.loads((folder/'config.json').read_text())
        del config['fingerprint']
        (folder/'config.json').write_text(json.dumps(config))
        return folder
    folder,other = plain(a, 'm'),plain(b, 'b')
    build = room._build
    def meanwhile(*args):
        monkeypatch.setattr(room, '_build', build)
        folder.rename(tmp_path/'gone')
        other.rename(folder)
        return build(*args)
    monkeypatch.setattr(room, '_build', meanwhile)
    assert answer(folder)=='new'

def test_always_another(tmp_path, monkeypatch):
    from xceptiontime.runtime import folder as room
    folder,build = a.save_pretrained(tmp_path/'m'),room._build
    turn = [b,a]*room.TRIES
    def meanwhile(*args):
        monkeypatch.setattr(room, '_build', build)
        turn.pop().save_pretrained(folder)
        monkeypatch.setattr(room, '_build', meanwhile)
        return build(*args)
    monkeypatch.setattr(room, '_build', meanwhile)
    turn.pop()
    with pytest.raises(OSError, match='which others replace again and again'): answer(folder)

@pytest.mark.slow
@pytest.mark.parametrize('there', [False,True])
def test_two_writers(tmp_path, there):
    "One whole model is left, and no error is raised"
    models = [m.save_pretrained(tmp_path/m.task.vocab[1]) for m in (a,b)]
    folder = tmp_path/'m'
    if there: c.save_pretrained(folder)
    writers = [writer(folder, 15, *models), writer(folder, 15, *models[::-1])]
    for p in writers: assert p.wait(120)==0, p.stderr.read()
    for p in writers: p.communicate()
    assert answer(folder) in ('old','new')
    assert sorted(files(folder))==['config.json','model.safetensors']
    assert not [f for f in os.listdir(tmp_path) if f.startswith('.')]

@pytest.mark.parametrize('made', [False,True])
def test_threads_fill_a_folder(tmp_path, made):
    if made: (tmp_path/'m').mkdir()
    failed = []
    def save(model):
        try: model.save_pretrained(tmp_path/'m')
        except Exception as e: failed.append(e)
    threads = [threading.Thread(target=save, args=(m,)) for m in (a,b)*4]
    for t in threads: t.start()
    for t in threads: t.join()
    assert failed==[] and answer(tmp_path/'m') in ('old','new')

@pytest.mark.parametrize('steps,want', [(0,'old'),(1,'old'),(2,'new'),(3,'new')])
def test_killed_while_it_writes(tmp_path, monkeypatch, steps, want):
    "After each step of the writer the folder is a whole model; the next writer removes its temporary files"
    folder,replace = a.save_pretrained(tmp_path/'m'),os.replace
    left = [steps]
    def counted(*args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        replace(*args)
    monkeypatch.setattr(os, 'replace', counted)
    try: b.save_pretrained(folder)
    except KeyboardInterrupt: pass
    monkeypatch.undo()
    assert answer(folder)==want
    c.save_pretrained(folder)
    assert answer(folder)=='wide' and sorted(files(folder))==['config.json','model.safetensors']

@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    "A process that saves many times, killed ten times; its temporary files are removed"
    models = [m.save_pretrained(tmp_path/m.task.vocab[1]) for m in (a,b,c)]
    folder,rng = a.save_pretrained(tmp_path/'m'),np.random.default_rng(0)
    for _ in range(10):
        p = writer(folder, 10**6, *models)
        time.sleep(rng.uniform(0, .2))
        p.kill()
        p.communicate()
        assert answer(folder) in ('old','new','wide')
    a.save_pretrained(folder)
    assert sorted(files(folder))==['config.json','model.safetensors']

def test_an_empty_folder_keeps_its_owner(tmp_path):
    "The folder is filled, not replaced, as it may be a mounted disk"
    (tmp_path/'m').mkdir(mode=0o700)
    node = (tmp_path/'m').stat().st_ino
    a.save_pretrained(tmp_path/'m')
    assert (tmp_path/'m').stat().st_ino==node and answer(tmp_path/'m')=='old'

# a loaded model keeps its weights

def test_loaded_is_not_mapped(tmp_path):
    folder = a.save_pretrained(tmp_path/'m')
    p,weights = Predictor.from_pretrained(folder),folder/'model.safetensors'
    before = p.predict_proba(X)
    with open(weights, 'r+b') as f: f.write(b.save_pretrained(tmp_path/'b').joinpath(weights.name).read_bytes())
    assert (p.predict_proba(X)==before).all()
    os.truncate(weights, 0)
    assert (p.predict_proba(X)==before).all()
    assert all(t.data_ptr()%64==0 for t in p.model.parameters()) # aligned like tensors of torch

# files that do not match config.json

def test_fingerprint_is_of_the_bytes(tmp_path):
    folder = a.save_pretrained(tmp_path/'m')
    told = json.loads((folder/'config.json').read_text())['fingerprint']
    assert told==f"sha256:{hashlib.sha256((folder/'model.safetensors').read_bytes()).hexdigest()}"
    again = Predictor.from_pretrained(folder).save_pretrained(tmp_path/'n')
    assert files(folder)==files(again)

def test_flipped_bits(tmp_path):
    folder = a.save_pretrained(tmp_path/'m')
    data,rng = (folder/'model.safetensors').read_bytes(),np.random.default_rng(0)
    start = 8+int.from_bytes(data[:8], 'little')
    for at in rng.integers(start, len(data), 20):
        bad = bytearray(data)
        bad[at] ^= 1<<rng.integers(8)
        (folder/'model.safetensors').write_bytes(bad)
        with pytest.raises(ValueError, match='expected the weights that config.json was written with'): answer(folder)

def test_weights_of_another_model(tmp_path):
    "The two files come from two folders of the same shapes"
    folder,other = a.save_pretrained(tmp_path/'m'),b.save_pretrained(tmp_path/'b')
    shutil.copy(other/'model.safetensors', folder)
    with pytest.raises(ValueError) as e: answer(folder)
    text = str(e.value).replace(str(folder), '')
    assert "if these are the right ones, delete the line 'fingerprint' of config.json" in text and len(text)<300
    lines = (folder/'config.json').read_text().splitlines()
    assert sum('fingerprint' in l for l in lines)==1
    config = json.loads((folder/'config.json').read_text())
    config['fingerprint'] = None # deleted, or emptied
    (folder/'config.json').write_text(json.dumps(config))
    assert answer(folder)=='never'

def test_labels_edited_by_hand(tmp_path):
    folder = a.save_pretrained(tmp_path/'m')
    text = (folder/'config.json').read_text().replace('"old"', '"older"')
    (folder/'config.json').write_text(text)
    assert answer(folder)=='older'

@pytest.mark.parametrize('known', ['sha256:', 'md5:'+'0'*64, 'sha256:'+'G'*64, 7, ['x']])
def test_no_fingerprint(tmp_path, known):
    folder = a.save_pretrained(tmp_path/'m')
    config = json.loads((folder/'config.json').read_text())|{'fingerprint': known}
    (folder/'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected 'sha256:' and its 64 digits as 'fingerprint'"): answer(folder)

@pytest.mark.parametrize('size', [2**34, 2**40])
def test_sizes_are_compared_first(tmp_path, size):
    "A sparse file with the beginning of the right one is refused in little memory"
    folder = Path(shutil.copytree(first/'numbers', tmp_path/'m'))
    with open(folder/'model.safetensors', 'r+b') as f: f.truncate(size)
    with pytest.raises(ValueError, match=f'bytes, as config.json says, got {size}'): answer(folder)

def test_weights_larger_than_memory(tmp_path):
    "config.json describes a network as large as the file"
    folder = Path(shutil.copytree(first/'numbers', tmp_path/'m'))
    config = json.loads((folder/'config.json').read_text())
    config['arguments']['nf'] = 2**18 # more than a terabyte
    (folder/'config.json').write_text(json.dumps(config))
    with open(folder/'model.safetensors', 'r+b') as f: f.truncate(2**42)
    with pytest.raises(ValueError, match='expected weights that memory has room for, got 4398046511104 bytes'):
        answer(folder)

# full disks, folders for reading only, other users

class Full:
    "Limits the size of files, as on a disk that is nearly full"
    def __init__(self, size): self.size = size
    def __enter__(self):
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.limits[1]))
    def __exit__(self, *args): resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)

TOLD = 'expected room and leave to write {}, got an error .File too large.; what stood there before is kept'

def write_onnx(path): return export_onnx(a, path)
def write_program(path): return export_program(a, path)
def write_series(path): return write_ts(path, np.zeros((5,1,2000)))

@pytest.mark.parametrize('there', [False,True])
def test_full_disk(tmp_path, there):
    "One sentence with the folder's name, and the old files are unchanged"
    folder = tmp_path/'m'
    if there: a.save_pretrained(folder)
    before = files(folder) if there else None
    named = 'model.safetensors' if there else 'm'
    with pytest.raises(OSError, match=TOLD.format(named)), Full(5000): b.save_pretrained(folder)
    if there: assert files(folder)==before and answer(folder)=='old'
    assert os.listdir(tmp_path)==['m']*there

def test_full_disk_of_a_table(tmp_path):
    (tmp_path/'a.ts').write_text('before')
    with pytest.raises(OSError, match=TOLD.format('a.ts')), Full(5000): write_series(tmp_path/'a.ts')
    assert files(tmp_path)=={'a.ts': b'before'}

@pytest.mark.slow
@pytest.mark.parametrize('write,name', [(write_onnx,'a.onnx'), (write_program,'a.pt2')])
def test_full_disk_of_an_export(tmp_path, write, name):
    (tmp_path/name).write_text('before')
    with pytest.raises(OSError, match=TOLD.format(name)), Full(5000): write(tmp_path/name)
    assert files(tmp_path)=={name: b'before'}

@pytest.fixture(params=[0o022,0o077,0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)

def rights(path): return stat.S_IMODE(path.stat().st_mode)

@pytest.mark.parametrize('made', [False,True])
def test_umask_decides_who_reads(tmp_path, umask, made):
    folder = tmp_path/'m'
    if made: folder.mkdir()
    for model in (a,b): # new, then replaced
        model.save_pretrained(folder)
        assert {rights(f) for f in folder.iterdir()}=={0o666&~umask}
        if not made: assert rights(folder)==0o777&~umask
    write_series(tmp_path/'a.ts')
    with whole_file(tmp_path/'a.pt') as tmp: torch.save({}, tmp)
    with whole_file(tmp_path/'a.npy') as tmp: np.save(tmp, X)
    assert {rights(f) for f in tmp_path.glob('a.*')}=={0o666&~umask}

@pytest.mark.slow
@pytest.mark.parametrize('write,name', [(write_onnx,'a.onnx'), (write_program,'a.pt2')])
def test_umask_of_an_export(tmp_path, umask, write, name): assert rights(write(tmp_path/name))==0o666&~umask

def no_leave(*args, **kw): raise PermissionError(30, 'Read-only file system', str(args[0]))

def test_asked_first(tmp_path, monkeypatch, capsys):
    "An output that cannot be written raises an error before the file is read"
    monkeypatch.setattr(Path, 'write_bytes', no_leave)
    calls = [('train', tmp_path/'missing.ts', '--out', tmp_path/'m'), ('demo', '--out', tmp_path/'m'),
             ('predict', tmp_path/'missing', tmp_path/'missing.ts', '--out', tmp_path/'m'),
             ('export', tmp_path/'missing', '--onnx', tmp_path/'m'),
             ('bench', '--sets', 'GunPoint', '--out', tmp_path/'m')]
    for args in calls:
        assert main(list(map(str, args)))==2, args
        said = capsys.readouterr().err
        assert 'm: expected room and leave to write m, got an error (Read-only file system)' in said, said
        assert len(said.splitlines())==1
    assert not list(tmp_path.iterdir())

def test_asked_where_nobody_may_write(tmp_path, capsys):
    "Errors of the system: a path below a file, and a folder in which not even root can write"
    (tmp_path/'file').write_text('')
    kernel = [Path(p) for p in ('/sys/kernel','/proc/m') if Path(p).parent.is_dir()]
    for place in (tmp_path/'file', *kernel):
        assert main(['demo', '--out', str(place/'m')])==2
        assert 'expected room and leave to write m, got an error' in capsys.readouterr().err

def npz(tmp_path):
    "A file of few short series"
    rng = np.random.default_rng(0)
    y = np.arange(24)%2
    np.savez(tmp_path/'a.npz', X=rng.normal(size=(24,1,12))+3*y[:,None,None], y=np.array(['no','yes'])[y])
    return tmp_path/'a.npz'

def train(tmp_path, *more):
    return main(['train', str(npz(tmp_path)), '--epochs', '1', '--out', str(tmp_path/'m'), *map(str, more)])

def test_what_was_trained_goes_elsewhere(tmp_path, monkeypatch, capsys):
    "If the disk fills during training, the model is saved elsewhere, the path is printed, and the exit code is 2"
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path/'tmp'))
    (tmp_path/'tmp').mkdir()
    a.save_pretrained(tmp_path/'m')
    before,save = files(tmp_path/'m'),Predictor.save_pretrained
    def full(self, folder, *args, **kw):
        if Path(folder)!=tmp_path/'m': return save(self, folder, *args, **kw)
        with Full(5000): return save(self, folder, *args, **kw)
    monkeypatch.setattr(Predictor, 'save_pretrained', full)
    assert train(tmp_path, '--force', '--resume')==2
    out,err = capsys.readouterr()
    spare = Path(re.search(r'kept; the model is in (\S+)\n', err)[1])
    assert len(err.splitlines())==1 and f'model folder      {spare}' in out and 'accuracy' in out
    assert spare.parent.parent==tmp_path/'tmp' and Predictor.from_pretrained(spare).task.vocab.tolist()==['no','yes']
    assert files(tmp_path/'m')==before and (tmp_path/'m.checkpoint').is_dir()

def test_saved_before_anything_is_printed(tmp_path, monkeypatch):
    def broken(*args): raise ValueError('no report')
    monkeypatch.setattr('xceptiontime.cli.train.report', broken)
    assert train(tmp_path)==2
    assert Predictor.from_pretrained(tmp_path/'m').task.vocab.tolist()==['no','yes']

@pytest.mark.parametrize('force', [(), ('--force',)])
def test_a_diverged_run_is_not_saved(tmp_path, monkeypatch, capsys, force):
    "The command prints an error, and an existing model is kept"
    from xceptiontime.train.learner import TSLearner
    if force: a.save_pretrained(tmp_path/'m')
    make = TSLearner.predictor
    def diverged(self):
        p = make(self)
        p.model.head[1][1].running_var[0] = float('inf')
        return p
    monkeypatch.setattr(TSLearner, 'predictor', diverged)
    assert train(tmp_path, *force)==2
    out,err = capsys.readouterr()
    assert 'a training that diverged gives such weights, a lower learning rate helps' in err
    assert len(err.splitlines())==1
    assert 'model folder' not in out
    if force: assert answer(tmp_path/'m')=='old'
    else: assert not (tmp_path/'m').exists()

@pytest.mark.slow
def test_lr_10(tmp_path, capsys):
    "After steps that are far too large, the model has finite scores or is not written"
    new,saved = np.load(npz(tmp_path))['X'],[]
    for lr in (10,100,1e4):
        folder = tmp_path/f'{lr}'
        code = main(['train', str(npz(tmp_path)), '--epochs', '5', '--lr', str(lr), '--out', str(folder)])
        assert code==(0 if folder.exists() else 2)
        saved.append(code==0)
        said = capsys.readouterr().err
        if code==0: assert np.isfinite(Predictor.from_pretrained(folder).scores(new)).all()
        else: assert re.match('xceptiontime train: (loss|model): expected (a finite number|finite numbers)', said)
    assert not all(saved), saved
