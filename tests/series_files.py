"Files of series for the tests of readers: real ones, written ones and broken ones"
import random, re, warnings
from importlib.util import find_spec
from pathlib import Path
import pytest

data = Path(find_spec('aeon').origin).parent/'datasets'/'data'

@pytest.fixture
def file(tmp_path):
    "Write a file and return its path"
    def write(text, name='p.csv'):
        p = tmp_path/name
        p.write_bytes(text if isinstance(text, bytes) else text.encode('utf-8'))
        return p
    return write

def runs(quick, long):
    "A test with `quick` files, or `long` files in the slow part"
    return pytest.mark.parametrize('n', [quick, pytest.param(long, marks=pytest.mark.slow)])

def swapped(s, rng):
    "Two lines swapped"
    lines = s.split(b'\n')
    a,b = rng.randrange(len(lines)),rng.randrange(len(lines))
    lines[a],lines[b] = lines[b],lines[a]
    return b'\n'.join(lines)

def mutate(rng, s, seeds, tokens):
    "`s` with one or several bytes, pieces or lines changed"
    for _ in range(rng.choice((1,1,1,2,3,8))):
        i = rng.randrange(len(s)+1)
        j = min(len(s), i+rng.choice((0,1,1,2,5,30)))
        other = rng.choice(seeds)
        s = rng.choice((
            lambda: s[:i]+bytes([rng.randrange(256)])+s[i+1:],
            lambda: s[:i]+s[j:],
            lambda: s[:i]+rng.choice(tokens)+s[i:],
            lambda: s[:i]+rng.choice(tokens)+s[j:],
            lambda: s[:j]+s[i:],
            lambda: s[:i]+other[rng.randrange(len(other)):],
            lambda: swapped(s, rng)))()
    return s

def overwrite(f, text):
    "New content for an open file: much faster than a new file each time"
    f.seek(0)
    f.write(text)
    f.truncate()
    f.flush()

def fuzz(reader, path, seeds, tokens, n, check, sentence=r'.*: expected .+, got .+'):
    "How many of `n` mutated files were read; the others raised one sentence"
    rng,read = random.Random(len(seeds)),0
    with open(path, 'wb') as f, warnings.catch_warnings(record=True) as warned:
        for _ in range(n):
            text = mutate(rng, rng.choice(seeds), seeds, tokens)
            overwrite(f, text)
            try: X,y = reader(path)
            except ValueError as e:
                assert type(e) is ValueError and len(str(e))<300, (text, e)
                assert re.fullmatch(sentence, str(e), re.DOTALL), (text, e)
            else:
                read += 1
                check(text, X, y)
    # numpy's word on a header that it could only just read, Python's on a `\\` in one, ours on series of one row
    # and on uneven times
    said = 'created on Python 2|invalid escape|got one row in each of'
    assert all(re.search(said, str(o.message)) for o in warned), [str(o.message) for o in warned]
    return read
