"Files made to cost time or memory are read or refused with little of both"
import csv, gzip, io, random, re, signal, tracemalloc
from contextlib import contextmanager
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from series_files import file, runs # noqa: F401
from xceptiontime.data import numbers
from xceptiontime.data.formats import from_frame, read_parquet, read_series
from xceptiontime.data.parquet import LEAST
from xceptiontime.data.times import parse_times

MB = 1_000_000
blanks = b' '*MB
arff = b'@attribute a numeric\n@attribute c {x,y}\n@data\n1,'
names = b','.join(b'c%d'%i for i in range(MB//7))
long = {
    'arff blanks before a quote': ('arff', arff+blanks+b"'x"),
    'arff blanks in a quote that does not end': ('arff', arff+b"'"+blanks+b'x'),
    'arff blanks after a quote': ('arff', arff+b"'x'"+blanks+b'y'),
    'arff a word, blanks, a quote': ('arff', arff+b'x'+blanks+b"'x'"),
    'arff backslashes': ('arff', arff+b"'"+b'\\ '*(MB//2)),
    'arff quotes': ('arff', arff+b"'"*MB),
    'arff two kinds of quotes': ('arff', arff+b"'\""*(MB//2)),
    'arff an attribute of blanks': ('arff', b'@attribute'+blanks+b'{'+blanks),
    'arff blanks in the labels': ('arff', b'@attribute c {x'+blanks+b"'x'}\n"),
    'arff as many labels as rows': ('arff', b'@attribute a numeric\n@attribute c {'
        + b','.join(b'l%d'%i for i in range(MB//14))+b'}\n@data\n'+b''.join(b'1,l%d\n'%i for i in range(MB//14))),
    'ts blanks in a pair': ('ts', b'@timestamps true\n@data\n('+blanks+b',1)'),
    'ts blanks between pairs': ('ts', b'@timestamps true\n@data\n(0,1)'+blanks+b','+blanks+b'x'),
    'ts brackets': ('ts', b'@timestamps true\n@data\n'+b'('*MB),
    'ts blanks in a number': ('ts', b'@data\n1'+blanks+b'x'),
    'ts points': ('ts', b'@data\n'+b'1.'*(MB//2)),
    'ts an exponent': ('ts', b'@data\n1e'+b'1'*MB),
    'ts infinities': ('ts', b'@data\n'+b'inf,'*(MB//4)+b'1e99'),
    'ts colons': ('ts', b'@data\n'+b':'*MB),
    'ts as many labels as rows': ('ts', b'@classLabel true '+b' '.join(b'l%d'%i for i in range(MB//14))+b'\n@data\n'
        + b''.join(b'1:l%d\n'%i for i in range(MB//14))),
    'tsv blanks': ('tsv', b'a'+blanks+b'1'),
    'tsv tabs': ('tsv', b'a'+b'\t'*MB),
    'csv a name twice, of very many': ('csv', names+b',c%d\n1,2'%(MB//7-1)),
    'csv a quote that does not end': ('csv', b'a,b\n"'+b'\n'*MB),
    'csv blanks': ('csv', b'a,b\n1,2'+blanks),
}

times = [o*(MB//len(o)) for o in ('1', '1:', '1.', '1/', 'jan ', '1 jan', ' ', '1:00 ', '1.1.2020 ')]

def too_slow(*_): raise TimeoutError('it takes more than a time that grows with the length')

@pytest.fixture(autouse=True)
def longest_field():
    "Python's own limit for a field of csv, which other libraries raise for the whole process"
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)

@contextmanager
def within(seconds):
    "Raise an error if this process computes longer"
    before = signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try: yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

# the others are refused
READ = {'arff as many labels as rows': MB//14, 'ts as many labels as rows': MB//14, 'tsv blanks': 1} # series in each

@pytest.mark.parametrize('name', long)
def test_a_megabyte_takes_linear_time(file, name):
    "Reading in time quadratic in the length would take hours"
    end,text = long[name]
    path = file(text, f'p.{end}')
    with within(60):
        if name in READ:
            assert len(read_series(path)[0])==READ[name]
            return
        with pytest.raises(ValueError, match=': expected ') as e: read_series(path)
    assert len(str(e.value).splitlines())==1 and len(str(e.value))<300

@pytest.mark.parametrize('text', times, ids=lambda o: o[:9])
def test_a_long_time_takes_linear_time(text):
    "Digits alone are a number too large for a float; the others are not times"
    def fail(i, hint): raise ValueError('no time')
    with within(20):
        if text.isdigit(): assert parse_times([text], None, fail)==[np.inf]
        for o in (text, text+'x')[text.isdigit():]:
            with pytest.raises(ValueError, match='no time'): parse_times([o], None, fail)

# Labels

huge = 'x'*500_000
@pytest.mark.parametrize('end,text', [
    ('tsv', f'{huge}\t1\n'+'a\t1\n'*50_000),
    ('ts', f'@classLabel true a {huge}\n@data\n1:{huge}\n'+'1:a\n'*50_000),
    ('arff', f'@attribute a numeric\n@attribute c {{a,{huge}}}\n@data\n1,{huge}\n'+'1,a\n'*50_000),
], ids=['tsv','ts','arff'])
def test_one_long_label_of_many(file, end, text):
    "In an array, each label would take the memory of the longest: 100 GB"
    said = f'p.{end}(, line [0-9]+)?: expected labels of at most 1000 characters, got one of'
    with pytest.raises(ValueError, match=said): read_series(file(text, f'p.{end}'))

def test_one_long_label_in_a_table():
    df = pd.DataFrame(dict(x=np.zeros(20_000), y=['x'*100_000]+['a','b','c']*6666+['a']))
    with pytest.raises(ValueError, match='df: expected labels of at most 1000 characters, got one of 100000'):
        from_frame(df, label='y')
    assert from_frame(df[:100], label='y', columns=['x'])[1][0]==df.y[0]

# Parquet

pools = [] # kept alive, as arrays outlive a test

@pytest.fixture
def pool():
    "A separate memory pool for pyarrow, which counts"
    before = pa.default_memory_pool()
    own = pa.proxy_memory_pool(before)
    pools.append(own)
    pa.set_memory_pool(own)
    yield own
    pa.set_memory_pool(before)

def test_claims_of_a_parquet_file(tmp_path, pool):
    "480 million nested numbers in some kilobytes: refused by the metadata, without reading"
    p = tmp_path/'a.parquet'
    part = pa.table(dict(x=pa.array([np.zeros(1_000_000, np.int8)])))
    with pq.ParquetWriter(p, part.schema) as w:
        for _ in range(60): w.write_table(part)
    assert p.stat().st_size<50_000
    before = pool.max_memory()
    words = 'a.parquet: expected at most 268,435,456 bytes of values in a file of .*, got 480,000,000 as its'
    with pytest.raises(ValueError, match=words): read_parquet(p)
    assert pool.max_memory()==before

def test_text_that_comes_often_is_kept_once(tmp_path, pool):
    "2,000 equal labels of 1 MB in a file of 50 kB would take 2 GB if each were stored"
    y = pa.DictionaryArray.from_arrays(pa.array([0]*2000, pa.int32()), pa.array(['x'*1_000_000]))
    p = tmp_path/'a.parquet'
    pq.write_table(pa.table(dict(x=np.arange(2000.), y=y)), p)
    assert p.stat().st_size<100_000
    with pytest.raises(ValueError, match='a.parquet: expected labels of at most 1000 characters, got one of 1000000'):
        read_parquet(p, label='y', columns=['x'])
    assert pool.max_memory()<50e6

def _bomb(path, text):
    path.write_bytes(gzip.compress(text))
    return path

def test_a_packed_file_that_unpacks_to_much(tmp_path, monkeypatch):
    "Refused above the limit, before a line is read; a text of the length of the limit is read"
    text = b'x,y\n'+b'1,2\n'*1000
    p = _bomb(tmp_path/'a.CSV.GZ', text)
    for most,is_read in ((len(text), True), (len(text)-1, False)):
        monkeypatch.setattr(numbers, '_LEAST_TEXT', most)
        monkeypatch.setattr(numbers, '_PACKED_TEXT', 1)
        if is_read:
            assert len(read_series(p)[0])==1000
            continue
        with pytest.raises(ValueError, match=f'a.CSV.GZ: expected at most {most:,} bytes of text') as e: read_series(p)
        assert len(str(e.value).splitlines())==1 and str(e.value).endswith('it is read whatever its size')
    monkeypatch.setattr(numbers, '_PACKED_TEXT', 1000) # the larger of the two
    assert len(read_series(p)[0])==1000

def test_a_gigabyte_in_a_megabyte(tmp_path):
    "The line is not unpacked completely: its size is counted in pieces"
    p = tmp_path/'a.csv.gz'
    p.write_bytes(gzip.compress(b'x,y\n')+gzip.compress(b'1'*2**24)*60) # members one after the other
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='a.csv.gz: expected at most .* bytes of text in a packed file of'):
            read_series(p)
        assert tracemalloc.get_traced_memory()[1]<2**24
    finally: tracemalloc.stop()

def test_a_constant_table_is_read(tmp_path):
    p = tmp_path/'a.parquet'
    pq.write_table(pa.table({f't{i}': np.zeros(50_000) for i in range(20)}), p)
    assert 8*50_000*20>1100*p.stat().st_size/2 and 8*50_000*20<LEAST
    assert read_parquet(p)[0].shape==(50_000,1,20)

@pytest.mark.parametrize('how', [dict(), dict(use_dictionary=False)], ids=['dictionary','plain'])
def test_text_that_is_no_utf8(tmp_path, how):
    y = pa.array([b'up', b'\xff\xfe', b'up']).view(pa.string())
    p = tmp_path/'a.parquet'
    pq.write_table(pa.table(dict(x=[1.,2.,3.], y=y)), p, **how)
    for kw in (dict(label='y'), dict(columns=['x']), dict()):
        with pytest.raises(ValueError, match="a.parquet: expected text in UTF-8 in column 'y', got") as e:
            read_parquet(p, **kw)
        assert len(str(e.value).splitlines())==1

def seeds():
    t = np.tile(np.arange(20), 4)
    df = pd.DataFrame(dict(s=np.repeat(list('abcd'), 20), t=t, x=np.sin(t), z=np.cos(t).astype(np.float32), n=t%3,
                           y=np.repeat(['é','b','é','b'], 20)))
    for how in (dict(), dict(compression='gzip', index=False), dict(compression=None), dict(compression='zstd'),
                dict(use_dictionary=False, row_group_size=30)):
        b = io.BytesIO()
        df.to_parquet(b, **how)
        yield b.getvalue()

def damaged(rng, data):
    "`data` with some bytes changed, mostly in the metadata at the end"
    data = bytearray(data)
    n = int.from_bytes(data[-8:-4], 'little')
    start = rng.choice((len(data)-8-n, len(data)-8-n, 0))
    for _ in range(rng.choice((1,1,2,4))):
        data[rng.randrange(start, len(data))] = rng.choice((255, 127, 128, rng.randrange(256)))
    return bytes(data[:rng.randrange(len(data))] if rng.random()<.1 else data)

@runs(300, 6000)
def test_damaged_parquet(tmp_path, n):
    "A table, or one sentence with the name of the file; no memory for missing data"
    rng,kinds = random.Random(0),[*seeds()]
    whole = 0
    p = tmp_path/'a.parquet'
    for _ in range(n):
        p.write_bytes(damaged(rng, rng.choice(kinds)))
        try: X,y = read_parquet(p, label='y', id='s', time='t')
        except ValueError as e:
            said = str(e)
            assert len(said.splitlines())==1 and len(said)<300 and 'a.parquet' in said, said
            assert re.search(': expected .+, got ', said), said
        else:
            whole += 1
            assert len(X)==len(y)
    assert 0<whole<n
