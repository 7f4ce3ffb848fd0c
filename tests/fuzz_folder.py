"""Damage the files of a model folder many times and open it, with limits on memory and time.
Run by test_folder.py: python fuzz_folder.py FOLDER ROUNDS"""
import copy, json, random, resource, shutil, sys, tempfile
from pathlib import Path
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.folder import _build, _parts
from xceptiontime.runtime.weights import read_weights

rng = random.Random(0)
counts = {}
VALUES = [0, 1, -1, 2**31, 2**62, 10**40, 1.5, -1e308, 1e-320, True, None, '', 'x', '../../etc/passwd', 'a'*300,
    '\ud800', '\0', [], {}, [[]], [1]*50, [0]*5000, ['a','a'], {'a':{'b':{}}}, {'__class__':'os.system'}, [None],
    [True,False], list(range(200)), {str(i): i for i in range(50)}]
NAMES = ['x','path','nf','c_in','vocab','name','mean','custom_head','channels','rate','training']
BYTES = [b'9', b'-', b'0', b'"', b'1e99', b'null', b'[', b'{', b'99999999999999999999', b'\xff']

def value(): return copy.deepcopy(rng.choice(VALUES)) # a copy, as later damage may change it

def nodes(o):
    "(parent, key) of everything in `o`"
    for k in (list(o) if isinstance(o, dict) else range(len(o))):
        yield o,k
        if isinstance(o[k], (dict,list)): yield from nodes(o[k])

def by_bytes(data):
    data = bytearray(data)
    for _ in range(rng.choice([1,1,2,4,16])):
        i = rng.randrange(len(data)+1)
        how = rng.random()
        if how<.5 and i<len(data): data[i] = rng.choice([rng.randrange(256), *b'"{}[],:0123456789-.eE'])
        elif how<.65: del data[i:i+rng.choice([1,1,5,50])]
        elif how<.8: data[i:i] = rng.choice(BYTES)
        elif how<.9: data[i:i] = data[i:i+rng.choice([3,20,200])]
        else: data = data[:i]
    return bytes(data)

def by_parts(text):
    o = json.loads(text)
    for _ in range(rng.choice([1,1,2,3])):
        at = list(nodes(o))
        if not at: break
        parent,k = rng.choice(at)
        how = rng.random()
        if how<.7: parent[k] = value()
        elif how<.85: del parent[k]
        elif isinstance(parent, dict): parent[rng.choice(NAMES)] = value()
        else: parent.append(value())
    return json.dumps(o).encode()

def run(f, folder):
    "Count the outcomes: a value, or an error of one sentence"
    try: kind = type(f()).__name__
    except (ValueError, TypeError, FileNotFoundError) as e:
        text = str(e).replace(str(folder), '')
        assert len(text.splitlines())==1 and len(text)<300 and text.isprintable(), text
        kind = type(e).__name__
    counts[kind] = counts.get(kind, 0)+1

def configs(d, rounds):
    text = (d/'config.json').read_bytes()
    for i in range(rounds):
        (d/'config.json').write_bytes(by_bytes(text) if i%2 else by_parts(text))
        run(lambda: Predictor.from_pretrained(d), d)
    (d/'config.json').write_bytes(text)

def weights(d, rounds):
    expected = _parts(_build(json.loads((d/'config.json').read_bytes()), 'config.json')).state_dict()
    data = (d/'model.safetensors').read_bytes()
    n = int.from_bytes(data[:8], 'little')
    for i in range(rounds):
        head = by_bytes(data[8:8+n]) if i%3 else by_parts(data[8:8+n])
        size = len(head).to_bytes(8, 'little') if i%4 else by_bytes(data[:8])[:8]
        (d/'model.safetensors').write_bytes(size+head+data[8+n:])
        if i%25: run(lambda: read_weights(d/'model.safetensors', expected), d)
        else: run(lambda: Predictor.from_pretrained(d), d)

if __name__=='__main__':
    source,rounds = Path(sys.argv[1]),int(sys.argv[2])
    now = int(open('/proc/self/statm').read().split()[0])*resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now+2**29, now+2**29))
    resource.setrlimit(resource.RLIMIT_CPU, (240, 240))
    d = Path(tempfile.mkdtemp())
    shutil.copytree(source, d, dirs_exist_ok=True)
    res = {}
    for f in (configs, weights):
        counts.clear()
        f(d, rounds)
        res[f.__name__] = dict(counts)
    shutil.rmtree(d)
    print(json.dumps(res))
