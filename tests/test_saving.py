"Model folders while others write, after flipped bits, on a full disk, for other users: old, new, or an error"
import hashlib, json, os, resource, shutil, stat, subprocess, sys, threading
from pathlib import Path
import numpy as np, pytest, torch
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor

X = np.random.default_rng(0).normal(size=(3,1,20)).astype(np.float32)
first = Path(__file__).parent/'fixtures'/'format1'

def sure(answer, *vocab, **settings):
    "A model of two classes that always answers `answer`"
    model = XceptionTime(1, 2, nf=1, head='linear', **settings)
    for p in model.head[3].parameters(): torch.nn.init.zeros_(p)
    model.head[3].bias.data[vocab.index(answer)] = 5.
    return Predictor(model, Classification(list(vocab)), Preprocess().fit(X))

# `a`, `b` are of the same shapes; torn, they would answer 'never' or 'no'
a,b = sure('old', 'old', 'never'),sure('new', 'no', 'new')
c = sure('wide', 'no', 'wide', ks=[9,5,3]) # of other shapes

def answer(folder): return Predictor.from_pretrained(folder).predict(X)[0]

def files(folder): return {f.name: f.read_bytes() for f in Path(folder).iterdir()}

# while others write

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
    "How often each answer came while another process replaced the folder `n` times"
    models = [m.save_pretrained(tmp_path/m.task.vocab[1]) for m in (a,b,c)]
    folder,counts = a.save_pretrained(tmp_path/'m'),{}
    p = writer(folder, n, *models)
    while p.poll() is None:
        assert folder.is_dir() # at any moment
        got = answer(folder)
        counts[got] = counts.get(got, 0)+1
    assert p.returncode==0, p.stderr.read()
    p.communicate()
    assert set(counts)<={'old','new','wide'}, counts
    assert sorted(files(folder))==['config.json','model.safetensors']
    return counts

def test_opened_while_replaced(tmp_path): assert opened_while_replaced(tmp_path, 20)

@pytest.mark.slow
def test_opened_while_replaced_long(tmp_path): assert len(opened_while_replaced(tmp_path, 200))==3

def test_replaced_between_the_two_files(tmp_path, monkeypatch):
    "Another process is done while this one has read config.json, and not the weights"
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
    "Without a fingerprint, and by two renames of the whole folder, as `mv` does it"
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
    turn = [b,a]*50
    def meanwhile(*args):
        monkeypatch.setattr(room, '_build', build)
        turn.pop().save_pretrained(folder)
        monkeypatch.setattr(room, '_build', meanwhile)
        return build(*args)
    monkeypatch.setattr(room, '_build', meanwhile)
    turn.pop()
    with pytest.raises(OSError, match='which others replace again and again'): answer(folder)

@pytest.mark.parametrize('there', [False,True])
def test_two_writers(tmp_path, there):
    "One whole model is left, whoever is last, and no error"
    models = [m.save_pretrained(tmp_path/m.task.vocab[1]) for m in (a,b)]
    folder = tmp_path/'m'
    if there: c.save_pretrained(folder)
    writers = [writer(folder, 15, *models), writer(folder, 15, *models[::-1])]
    for p in writers: assert p.wait(120)==0, p.stderr.read()
    for p in writers: p.communicate()
    assert answer(folder) in ('old','new')
    assert sorted(files(folder))==['config.json','model.safetensors']
    assert not [f for f in os.listdir(tmp_path) if f.startswith('.')]

def test_two_threads_make_a_folder(tmp_path):
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
    "After each of its steps the folder is a whole model; the next writer tidies up"
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

def test_an_empty_folder_keeps_its_owner(tmp_path):
    "It is filled, and not replaced, as it may be a disk of its own"
    (tmp_path/'m').mkdir(mode=0o700)
    node = (tmp_path/'m').stat().st_ino
    a.save_pretrained(tmp_path/'m')
    assert (tmp_path/'m').stat().st_ino==node and answer(tmp_path/'m')=='old'

# what was loaded stays

def test_loaded_is_not_mapped(tmp_path):
    folder = a.save_pretrained(tmp_path/'m')
    p,weights = Predictor.from_pretrained(folder),folder/'model.safetensors'
    before = p.predict_proba(X)
    with open(weights, 'r+b') as f: f.write(b.save_pretrained(tmp_path/'b').joinpath(weights.name).read_bytes())
    assert (p.predict_proba(X)==before).all()
    os.truncate(weights, 0)
    assert (p.predict_proba(X)==before).all()
    assert all(t.data_ptr()%64==0 for t in p.model.parameters()) # as torch's own

# another file than config.json tells of

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
    "The two files copied one by one from two folders of the same shapes"
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
    "A sparse file with the beginning of the right one, in little memory"
    folder = Path(shutil.copytree(first/'numbers', tmp_path/'m'))
    with open(folder/'model.safetensors', 'r+b') as f: f.truncate(size)
    with pytest.raises(ValueError, match=f'bytes, as config.json says, got {size}'): answer(folder)

def test_weights_larger_than_memory(tmp_path):
    "config.json tells of a network as large as the file"
    folder = Path(shutil.copytree(first/'numbers', tmp_path/'m'))
    config = json.loads((folder/'config.json').read_text())
    config['arguments']['nf'] = 2**18 # a terabyte and more
    (folder/'config.json').write_text(json.dumps(config))
    with open(folder/'model.safetensors', 'r+b') as f: f.truncate(2**42)
    with pytest.raises(ValueError, match='expected weights that memory has room for, got 4398046511104 bytes'):
        answer(folder)
