"Text formats of time series: real files against plain parsing, broken files against their errors"
import os, random, re, tempfile, tracemalloc
from pathlib import Path
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from searched import searched
from series_files import data, file, fuzz, runs # noqa: F401
from xceptiontime.data.formats import read_series, read_ts, read_tsv, write_ts
from xceptiontime.data.numbers import parse_fixed, parse_plain

real = sorted(data.rglob('*.ts'))

blanks = ' \t\n\r\v\f'     # `str.strip()` would take more, such as \x1c

def plain_ts(text, target):
    "Series and targets of a `.ts` text without time stamps, in plain Python"
    body = re.split(r'(?im)^@data\s*$', text, maxsplit=1)[1]
    X,y = [],[]
    for line in body.split('\n'):
        line = line.strip(blanks)
        if not line or line[0] in '#%': continue
        parts = line.split(':')
        if target: y.append(parts.pop().strip(blanks))
        X.append([[float(v.strip(blanks).replace('?', 'nan')) for v in o.split(',')] for o in parts])
    return X,y

def same_series(X, ref):
    assert len(X)==len(ref)
    for x,r in zip(X, ref):
        r = np.array(r, dtype=np.float64)
        with np.errstate(over='ignore'): np.testing.assert_array_equal(x, r.astype(np.float32))
        assert x.shape==r.shape and x.dtype==np.float32

def check_form(X, y):
    if isinstance(X, np.ndarray):
        assert X.ndim==3 and X.dtype==np.float32 and X.flags.c_contiguous and X.flags.writeable
    else:
        assert len({x.shape for x in X})>1
        assert all(x.ndim==2 and x.dtype==np.float32 and x.flags.c_contiguous for x in X)
    assert y is None or (len(y)==len(X) and y.ndim==1 and (y.dtype.kind=='U' or y.dtype==np.float64))

@pytest.mark.parametrize('path', [p for p in real if 'TimeStamps' not in p.name],
        ids=lambda p: p.stem)
def test_real_ts(path):
    X,y = read_ts(path)
    check_form(X, y)
    text = path.read_text(encoding='utf-8')
    ref,labels = plain_ts(text, True)
    same_series(X, ref)
    if '@targetlabel true' in text.lower():
        np.testing.assert_array_equal(y, [float(o) for o in labels])
    else: assert y.tolist()==labels

def test_real_timestamps():
    X,y = read_ts(data/'UnitTest'/'UnitTestTimeStamps_TRAIN.ts')
    seen = [[241.97,241.75,241.64,241.71], [239.91,240.89,240.01,239.63], [4,0,1,11], [1,0,1,1]] # read from the file
    np.testing.assert_array_equal(X[:,0], np.array(seen, dtype=np.float32))
    assert y.tolist()==['1','1','2','2']

def test_forms_of_real_sets():
    "Shapes as published with the sets"
    assert read_ts(data/'GunPoint'/'GunPoint_TEST.ts')[0].shape==(150,1,150)
    assert read_ts(data/'BasicMotions'/'BasicMotions_TEST.ts')[0].shape==(40,6,100)
    X,y = read_ts(data/'JapaneseVowels'/'JapaneseVowels_TEST.ts')
    lens = [x.shape[1] for x in X]
    assert len(X)==370 and {x.shape[0] for x in X}=={12} and (min(lens), max(lens))==(7, 29)
    assert read_ts(data/'Covid3Month'/'Covid3Month_TRAIN.ts')[1].dtype==np.float64

@pytest.mark.parametrize('name', ['GunPoint','ArrowHead'])
def test_tsv_twin(name):
    (X,y),(X2,y2) = (read_series(data/name/f'{name}_TRAIN{o}') for o in ('.tsv','.ts'))
    np.testing.assert_array_equal(X, X2)
    if name=='GunPoint': assert y.tolist()==y2.tolist()

head = ('@problemName p\n@univariate true\n@missing false\n@equalLength true\n@seriesLength 3\n'
    '@classLabel true a b\n@data\n')

def test_ts_layout(file):
    "Comments, blank lines, CRLF, byte order mark, keys and flags in any case, blanks around fields"
    a = read_ts(file(head+'1,2,3:a\n4,5,6:b\n'))
    odd = head.replace('univariate','UNIVARIATE').replace('true','True').replace('classLabel','CLASSlabel')
    text = '\ufeff# c\n\n% c\n'+odd + \
        '# in the data\n1, 2 ,3 : a\n\n%\n 4,5,6:b \n\n\n'
    for t in text, text.replace('\n', '\r\n'), text.rstrip():
        b = read_ts(file(t))
        np.testing.assert_array_equal(a[0], b[0])
        assert a[1].tolist()==b[1].tolist()==['a','b']
    latin = b'# Gr\xf6\xdfe\n'+head.encode()+b'1,2,3:a\n'
    np.testing.assert_array_equal(read_ts(file(latin))[0], [[[1,2,3]]])

def test_ts_labels_to_the_letter(file):
    labels = ['Banana','01','1.0','nan','Größe','a,b','#x','-1','1_0','東京','a\u00a0b']
    X,y = read_ts(file('@classLabel true '+' '.join(labels)+'\n@data\n'+''.join(f'1,2:{o}\n' for o in labels)))
    assert y.tolist()==labels

def test_ts_targets(file):
    X,y = read_ts(file('@targetLabel true\n@data\n1,2:-0.1\n3,4:1e300\n5,6:?\n'))
    assert y.dtype==np.float64
    np.testing.assert_array_equal(y, [-0.1,1e300,np.nan])
    for h in '', '@classLabel false\n', '@targetLabel false\n':
        X,y = read_ts(file(h+'@data\n1,2:3,4\n'))
        assert y is None
        np.testing.assert_array_equal(X, [[[1,2],[3,4]]])

def test_ts_timestamps(file):
    X,y = read_ts(file('@timestamps true\n@classLabel true a b\n@data\n'
                       '(2020-01-01 00:00:00,-1.5),(2020-01-01 00:00:01,?):(0,2),(1.5,-3e2) : a\n'
                       '(0,1) , (1,nan):( 7 , 2 ),(8,3):b\n'))
    np.testing.assert_array_equal(X, [[[-1.5,np.nan],[2,-300]], [[1,np.nan],[2,3]]])
    assert y.tolist()==['a','b']
    X,y = read_ts(file('@timestamps true\n@data\n(0,1),(1,2)\n(5,3)\n'))
    assert y is None and [x.tolist() for x in X]==[[[1,2]],[[3]]]

def test_ts_values(file):
    "Rounded once from the double, extremes kept, literal infinities kept"
    vals = '3.4028234e38 -3.40282356e38 1.4e-45 1e-60 -0.0 .5 5. +7 1.00000005960464477539062500001'.split()
    vals += ['inf', '-Infinity']
    X,_ = read_ts(file('@data\n'+','.join(vals)+'\n'))
    ref = np.array([float(o) for o in vals]).astype(np.float32)
    np.testing.assert_array_equal(X[0,0].view(np.uint32), ref.view(np.uint32))

bad_ts = [
    ('@data\n1,2,x\n', "line 2: expected a number, ? or NaN, got 'x'"),
    ('@data\n1,2\n1,,2\n', "line 3: expected a number, ? or NaN, got ''"),
    ('@data\n1, ,2\n', "line 2: expected a number, ? or NaN, got ' '"),
    ('@data\n1,2,\n', "line 2: expected a number, ? or NaN, got ''"),
    ('@data\n1,1_0\n', "line 2: expected a number, ? or NaN, got '1_0'"),
    ('@data\n1,3.5e38\n',
        "line 2: expected a value that float32 can hold (up to 3.4e38), got '3.5e38'"),
    ('@data\n1,?,-1e999\n',
        "line 2: expected a value that float32 can hold (up to 3.4e38), got '-1e999'"),
    ('@missing false\n@data\n1,2\n1,?\n',
        "line 4: expected no missing value as in '@missing false' (line 1), got one"),
    ('@univariate true\n@data\n1,2:1,2\n',
        "line 3: expected one channel as in '@univariate true' (line 1), got 2 channels"),
    ('@univariate false\n@data\n1,2\n',
        "line 3: expected several channels as in '@univariate false' (line 1), got 1 channel"),
    ('@dimension 3\n@data\n1,2:1,2\n',
        "line 3: expected 3 channels as in '@dimension 3' (line 1), got 2 channels"),
    ('@dimensions 1000000000000\n@data\n1,2\n',
        "line 3: expected 1000000000000 channels as in '@dimensions 1000000000000' (line 1), got 1 channel"),
    ('@seriesLength 3\n@data\n1,2,3\n1,2\n',
        "line 4: expected 3 values as in '@seriesLength 3' (line 1), got 2 values"),
    ('@equalLength true\n@data\n1,2,3\n1,2,3\n1,2\n',
        "line 5: expected 3 values as in line 3, since '@equalLength true' (line 1), got 2 values"),
    ('@data\n1,2:1\n', "line 2: expected channels of one length within a series, got lengths 2, 1"),
    ('@data\n1,2:1,2\n1,2\n', "line 3: expected 2 channels as in line 2, got 1 channel"),
    ('@classLabel true a b\n@data\n1,2:c\n',
        "line 3: expected a label from '@classLabel true a b' (line 1), got 'c'"),
    ('@classLabel true a b\n@data\n1,2:A\n',
        "line 3: expected a label from '@classLabel true a b' (line 1), got 'A'"),
    ('@classLabel true a b\n@data\n1,2\n',
        "line 3: expected ':' and the target at the end of the line, got '1,2'"),
    ('@classLabel true a b\n@data\n1,2:\n',
        "line 3: expected ':' and the target at the end of the line, got '1,2:'"),
    ('@classLabel true\n@data\n1,2:a\n',
        "line 1: expected the labels after @classlabel true, got '@classLabel true'"),
    ('@classLabel a b\n@data\n1,2:a\n', "line 1: expected true or false after the key"),
    ('@classLabel false a\n@data\n1,2\n', "line 1: expected nothing after @classlabel false"),
    ('@classLabel true a\n@targetLabel true\n@data\n1,2:a\n',
        "expected class labels or a target, got both: '@classLabel true a' (line 1) and '@targetLabel true' (line 2)"),
    ('@targetLabel true\n@data\n1,2:a\n', "line 3: expected a number as target, got 'a'"),
    ('@targetLabel true\n@data\n1,2:0,5\n', "line 3: expected a number as target, got '0,5'"),
    ('@targetLabel true\n@data\n1,2:1e999\n', "line 3: expected a number as target, got '1e999'"),
    ('@missing perhaps\n@data\n1\n',
        "line 1: expected true or false after the key, got '@missing perhaps'"),
    ('@missing\n@data\n1\n', "line 1: expected true or false after the key"),
    ('@seriesLength 0\n@data\n1\n', "line 1: expected a whole number above 0 after the key"),
    ('@seriesLength 1_0\n@data\n1\n', "line 1: expected a whole number above 0 after the key"),
    ('@seriesLenght 3\n@data\n1\n', "line 1: expected a header line (@problemname"),
    ('@missing true\n@missing false\n@data\n1\n',
        "line 2: expected no second @missing after line 1"),
    ('1,2,3:a\n', "line 1: expected a header line (@problemname"),
    ('', "line 1: expected a line @data, got the end of the file"),
    ('# nothing\n@missing false\n', "line 3: expected a line @data, got the end of the file"),
    ('@data\n# none\n', "line 1: expected a series after @data, got none"),
    ('@data now\n1,2\n', "line 1: expected nothing after @data"),
    ('@data\n1,2\n@data\n', "line 3: expected a number, ? or NaN, got '@data'"),
    ('@timestamps true\n@data\n1,2\n',
        "line 3: expected a pair (time,value) followed by , or :, got '1,2'"),
    ('@timestamps true\n@data\n(0,1)(1,2)\n',
        "line 3: expected a pair (time,value) followed by , or :, got '(0,1)(1,2)'"),
    ('@timestamps true\n@data\n(0,1),\n',
        "line 3: expected a pair (time,value) followed by , or :, got ''"),
    ('@timestamps true\n@data\n(noon,1)\n',
        "line 3: expected a time: a number or a date (2020-01-31 23:59:59), got 'noon'"),
    ('@timestamps true\n@data\n(2,1),(1,1)\n',
        "line 3: expected a later time of the same kind than the one before, got '1'"),
    ('@timestamps true\n@data\n(2,1),(2020-01-01,1)\n',
        "line 3: expected a later time of the same kind than the one before, got '2020-01-01'"),
    ('@timestamps true\n@data\n(2020-01-01T00:00:00+00:00,1),(2020-01-02,1)\n',
        "line 3: expected a later time of the same kind"),
    ('@timestamps true\n@data\n(1.2.3,1)\n', "line 3: expected a time"),
    ('@timestamps true\n@data\n(0,x)\n', "line 3: expected a number, ? or NaN, got 'x'"),
    ('@timestamps true\n@classLabel true a\n@data\n(0,1),(1,2)a\n',
        "line 4: expected ':' and the target at the end of the line"),
    (b'@classLabel true \xff\n@data\n1:\xff\n',
        "line 1: expected text in UTF-8, got '\N{REPLACEMENT CHARACTER}'"),
    (b'@classLabel true a\0\n@data\n1:a\0\n', "line 1: expected text, got 'a\\x00'"),
    (b'@data\n1,\xff\n', "line 2: expected a number, ? or NaN, got '\N{REPLACEMENT CHARACTER}'"),
    (b'@data\n'+'1,١\n'.encode(), "line 2: expected a number, ? or NaN, got '١'"),
]

@pytest.mark.parametrize('text,words', bad_ts)
def test_bad_ts(file, text, words):
    p = file(text)
    with pytest.raises(ValueError) as e: read_ts(p)
    assert type(e.value) is ValueError and words in str(e.value)
    assert str(e.value).startswith(f'{p}, line ')

def test_tsv_layout(file):
    texts = {'a.tsv': '1\t0.5\t-2\n-1\t3\t4\n', 'a.txt': '1,0.5,-2\r\n-1,3,4\r\n',
        'b.txt': '   1   0.5 -2\n  -1 3   4  \n\n'}
    for name,text in texts.items():
        X,y = read_series(file(text, name))
        np.testing.assert_array_equal(X, [[[.5,-2]],[[3,4]]])
        assert y.tolist()==['1','-1']
    X,y = read_tsv(file('a b\t1\tNaN\t3\tNaN\nc\tnan\t2\tNaN\tNaN\n', 'a.tsv'))
    np.testing.assert_array_equal(X[0], [[1,np.nan,3]])
    np.testing.assert_array_equal(X[1], [[np.nan,2]])
    assert y.tolist()==['a b','c']
    X,y = read_tsv(file('c\t1\t2\tNaN\nd\t3\t4\tNaN\n', 'a.tsv'))   # every series is one shorter: equal lengths
    np.testing.assert_array_equal(X, [[[1,2]],[[3,4]]])
    check_form(X, y)

@pytest.mark.parametrize('text,words', [
    ('', 'line 1: expected a label and values, got an empty file'),
    ('1\n', r"line 1: expected a label, then values separated by ' ', got '1'"),
    ('1\t2\n\t2\n', r"line 2: expected a label, then values separated by '\\t', got '2'"),
    ('1\t2\t3\n1\t2\n', 'line 2: expected 2 values as in line 1, got 1'),
    ('1\t2\t3\n\n1\t2\t\t3\n', 'line 3: expected 2 values as in line 1, got 3'),
    ('1\t2\tx\n', "line 1: expected a number, ? or NaN, got 'x'"),
    ('1\t2\t1e39\n', 'line 1: expected a value that float32 can hold'),
    ('1\t2\t3\n1\tNaN\tNaN\n',
        'line 2: expected a series with at least one value, got missing values only'),
    (b'\xff\t2\t3\n', 'line 1: expected text in UTF-8'),
    ('1\t2,5\t3\n1\t4\t5\n', "line 1: expected a number, ? or NaN, got '2,5'"),
])
def test_bad_tsv(file, text, words):
    p = file(text, 'p.tsv')
    with pytest.raises(ValueError) as e: read_tsv(p)
    assert type(e.value) is ValueError and words.replace(r'\\t', '\\t') in str(e.value)
    assert str(e.value).startswith(f'{p}, line ')

def test_claims_cost_nothing(file):
    "A header with 10^12 channels of 10^12 values allocates no memory for them"
    p = file('@dimensions 1000000000000\n@seriesLength 1000000000000\n@data\n'+'1,2:3,4\n'*50)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError): read_ts(p)
        assert tracemalloc.get_traced_memory()[1]<300_000
    finally: tracemalloc.stop()

def test_long_field_takes_linear_time(file):
    "A million digits and a letter: a quadratic search would run for hours"
    with pytest.raises(ValueError, match='got .1111111.*\\.\\.\\.'):
        read_ts(file('@data\n'+'1'*1_000_000+'x\n'))
    assert read_ts(file('@data\n1,'+'1'*30+'.'+'1'*1_000_000+'\n'))[0].shape==(1,1,2)

# Numbers: each parser against Python's `float`

decimals = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r'[-+]?([0-9]{1,25}\.[0-9]{0,25}|\.[0-9]{1,25})', fullmatch=True),
    st.decimals(-1000, 1000, places=5).map(lambda d: f'{d:f}'),
    st.sampled_from(['-0.0','0.0','-0.','-.0','9007199254740991.0','9007199254740992.0',
        '-9007199254740993.0','1.','-1','+1.5','0.'+'0'*22+'1']))

@searched(st.lists(decimals, min_size=1, max_size=9), quick=40, long=500)
def test_parsers(texts):
    "The double is bit-identical to Python's; the short way gives the same or None"
    ref,joined = np.array([float(o) for o in texts]),','.join(texts).encode()
    np.testing.assert_array_equal(parse_plain(joined).view(np.uint64), ref.view(np.uint64))
    short = parse_fixed(joined)
    if short is not None: np.testing.assert_array_equal(short.view(np.uint64), ref.view(np.uint64))

def test_short_way_is_taken():
    "Half-way cases and 15 digits, where a division in the wrong precision would show"
    rng = random.Random(0)
    def number(): return f"{rng.choice(('','-'))}{rng.randrange(10**rng.randrange(1,8))}.{rng.randrange(10**8):08d}"
    texts = [number() for _ in range(20_000)]
    a = parse_fixed(','.join(texts).encode())
    np.testing.assert_array_equal(a.view(np.uint64), np.array([float(o) for o in texts]).view(np.uint64))

# among integers, a lone sign is 0 for numpy
odd_fields = [(o,) for o in ('-.', '.-5', '.-5,1.2', '-.,1.2', '1.2.3,4', '1,')]
@searched(st.text('0123456789.,-+eE?naNA ', max_size=12), quick=200, long=1000, first=odd_fields)
def test_parsers_take_nothing_else(s):
    "The parsers accept only fields that `float` accepts"
    for f in parse_plain,parse_fixed:
        a = f(s.encode())
        if a is not None:
            np.testing.assert_array_equal(a, [float(o.replace('?','nan')) for o in s.split(',')])

def test_blocks(file):
    "Short lines that are parsed together, and cases that are not: long numbers, missing values, exponents, integers"
    rng = random.Random(3)
    odd = ['?','1e-5','7','0.12345678901234567','-0.0',' 2.5','inf']
    shares = [0]*400+[.01]*400+[.5]*50+[0]*400 # of odd fields in a row
    rows = [[rng.choice(odd) if rng.random()<p else f'{rng.uniform(-9,9):.6f}' for _ in range(7)] for p in shares]
    X,_ = read_ts(file('@data\n'+'\n'.join(','.join(r) for r in rows)))
    values = [[float(v.replace('?','nan')) for v in r] for r in rows]
    same_series(X, [[v[:7-next(i for i,o in enumerate(v[::-1]) if o==o)]] for v in values]) # without padding
    rows[900][3] = '1,'
    with pytest.raises(ValueError, match='line 902: expected a number'):
        read_ts(file('@data\n'+'\n'.join(','.join(r) for r in rows)))

# Writing

f32 = st.floats(width=32)
letters = st.characters(exclude_categories=['Cs'], exclude_characters=' \t\n\r\v\f\0:')
words = st.sampled_from(['Banana','NaN','?','true','01','1.0','#a','@data','%','東京'])
labels = st.text(letters, min_size=1, max_size=6) | words

@st.composite
def series(draw):
    "Array or ragged list, with y or without"
    n,c = draw(st.integers(1,4)),draw(st.integers(1,3))
    if draw(st.booleans()): X = draw(arrays(np.float32, (n,c,draw(st.integers(1,6))), elements=f32))
    else: X = [draw(arrays(np.float32, (c,draw(st.integers(1,6))), elements=f32)) for _ in range(n)]
    y = draw(st.sampled_from((None, labels, st.floats())))
    return X,y if y is None else np.array(draw(st.lists(y, min_size=n, max_size=n)))

def bits(x):
    "float32 as integers, every NaN alike"
    return np.where(np.isnan(x), np.float32(np.nan), x).view(np.uint32)

@searched(series(), quick=30, long=300)
def test_write_read_write_read(xy):
    X,y = xy
    p = Path(tempfile.gettempdir())/f'w{os.getpid()}.ts'
    if any(np.isnan(x).all() for x in X):
        with pytest.raises(ValueError, match='expected a value at some step, got'): write_ts(p, X, y)
        return
    for _ in range(2):
        write_ts(p, X, y)
        X = [x[:, :np.flatnonzero(~np.isnan(x).all(0))[-1]+1] for x in X] # without the padding
        X2,y2 = read_ts(p)
        check_form(X2, y2)
        assert len(X)==len(X2)
        for a,b in zip(X, X2): np.testing.assert_array_equal(bits(a), bits(b))
        if y is None: assert y2 is None
        else:
            assert y.dtype.kind==y2.dtype.kind
            np.testing.assert_array_equal(y, y2)
        X,y = X2,y2

@pytest.mark.parametrize('path', real, ids=lambda p: p.stem)
def test_rewrite_real(path, tmp_path):
    X,y = read_ts(path)
    write_ts(tmp_path/'w.ts', X, y)
    X2,y2 = read_ts(tmp_path/'w.ts')
    assert len(X)==len(X2) and type(X) is type(X2) and y.tolist()==y2.tolist()
    for a,b in zip(X, X2): np.testing.assert_array_equal(a, b)

def test_written_text(tmp_path):
    "The text of the file"
    write_ts(tmp_path/'a b.ts', [[[1,2.5],[-0.1,np.nan]], [[3],[4]]], ['x','Y'])
    assert (tmp_path/'a b.ts').read_text()==(
        '@problemName a_b\n@timestamps false\n@missing true\n@univariate false\n@dimensions 2\n'
        '@equalLength false\n@classLabel true Y x\n@data\n1,2.5:-0.1,?:x\n3:4:Y\n')
    write_ts(tmp_path/'t.ts', np.array([[1,2],[3,4]]), [.5,-1e-7], name='p')
    assert (tmp_path/'t.ts').read_text()==('@problemName p\n@timestamps false\n@missing false\n@univariate true\n'
        '@equalLength true\n@seriesLength 2\n@targetLabel true\n@data\n1,2:0.5\n3,4:-1e-07\n')

@pytest.mark.parametrize('X,y,error,words', [
    (np.ones((2,1,3)), ['a b','c'], ValueError,
        "y: expected labels without blanks, colons and broken characters, as .ts needs, got 'a b'"),
    (np.ones((2,1,3)), ['a:b','c'], ValueError, "got 'a:b'"),
    (np.ones((2,1,3)), ['','c'], ValueError, "got ''"),
    (np.ones((2,1,3)), ['\ud800','c'], ValueError, r"got '\ud800'"),
    (np.ones((2,1,3)), np.array(['a\0','c'], dtype=object), ValueError, r"got 'a\x00'"),
    (np.ones((2,1,3)), [0,1], TypeError,
        'y: expected labels as strings or targets as floats, got integers; say y.astype(str) or y.astype(float)'),
    (np.ones((2,1,3)), np.array(['a',1], dtype=object), TypeError, 'y: expected labels as strings'),
    (np.ones((2,1,3)), ['a'], ValueError,
        'y: expected a target for each of 2 series, got shape (1,)'),
    (np.ones((0,1,3)), None, ValueError,
        'X: expected one or more (channels, length) series with as many channels each, got none'),
    (np.ones((2,1,0)), None, ValueError, 'got shape (1, 0) in series 0'),
    ([np.ones((1,3)),np.ones((2,3))], None, ValueError,
        'got shape (2, 3) in series 1 after (1, 3) in series 0'),
    ([np.ones((1,3)),np.array([['a']])], None, TypeError, 'X[1]: expected real numbers, got text'),
    (np.full((1,1,2), -1e39), None, ValueError,
        'X: expected values that float32 can hold (up to 3.4e38), got -1e+39 in series 0'),
])
def test_not_written(tmp_path, X, y, error, words):
    p = tmp_path/'w.ts'
    p.write_text('before')
    with pytest.raises(error) as e: write_ts(p, X, y)
    assert words in str(e.value) and p.read_text()=='before' and os.listdir(tmp_path)==['w.ts']

def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    "If the disk fails, the old file is kept, and no other file is left"
    p = tmp_path/'w.ts'
    p.write_text('before')
    def fail(*_): raise OSError('disk full')
    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='disk full'): write_ts(p, np.ones((2,1,3)))
    assert p.read_text()=='before' and os.listdir(tmp_path)==['w.ts']

# Mutated files

def cut(path, cases=3, values=7, channels=3):
    "The header and the first series of a real file, shortened"
    head,body = re.split(r'(?im)(?<=^@data)\s*$', path.read_text(encoding='utf-8'), maxsplit=1)
    head = re.sub(r'(?im)(?<=^@serieslength ).*', str(values), re.sub(r'(?m)^[#%].*\n', '', head))
    head = re.sub(r'(?im)(?<=^@dimensions ).*', str(channels), head)
    lines = []
    for line in body.split()[:cases]:
        *xs,y = line.split(':')
        lines.append(':'.join([','.join(x.split(',')[:values]) for x in xs[:channels]]+[y]))
    return (head+'\n'+'\n'.join(lines)+'\n').encode()

def ts_seeds():
    a = [cut(p) for p in real if 'TimeStamps' not in p.name and 'TRAIN' in p.name]
    a.append((data/'UnitTest'/'UnitTestTimeStamps_TRAIN.ts').read_bytes())
    a += [a[0].replace(b'@missing false', b'@missing true').replace(b'1', b'?'), a[-1].replace(b'\n', b'\r\n')]
    return a

def tsv_seeds():
    texts = [(data/name/f'{name}_TRAIN.tsv').read_text() for name in ('GunPoint','ArrowHead')]
    rows = [o.split('\t')[:8] for text in texts for o in text.splitlines()[:3]]
    a = ['\n'.join(sep.join(r) for r in rows[i:i+3]) for sep,i in (('\t',0), (' ',3), (',',3))]
    a[2] += '\n'
    a.append('\n'.join('\t'.join(r[:8-i]+['NaN']*i) for i,r in enumerate(rows[:3])))
    return [o.encode() for o in a]

tokens = [b'nan', b'NaN', b'?', b'inf', b'1e999', b'-', b'+', b':', b',', b'::', b',,', b', ,',
    b'\0', b'\xff', b'\xef\xbb\xbf', b'@data\n', b'@', b'#', b'%',
    b'1000000000000', b'9'*400, b'\r', b'\n', b'\n\n', b'\t', b' ', b'(', b')', b'),(', b'):(',
        b'true', b'false', b'@dimensions 1000000000000\n',
    b'@timestamps true\n', b'@equalLength false\n', b'@targetlabel true\n', b'@classlabel false\n',
        b'@missing true\n', '١'.encode(), b'_', b'e', b'.', b'0x1p3', b'nan(1)', b'1d5']

def check_ts(text, X, y):
    "The values read from a mutated file are those in its text"
    text = text.decode('utf-8', 'replace')
    if re.search(r'(?im)^\s*@timestamps\s+true', text): return
    ref,labels = plain_ts(re.sub(r'(?m)^[ \t\r\f\v]+@', '@', text), y is not None)
    same_series(X, ref)
    if y is not None and y.dtype.kind=='U': assert y.tolist()==labels

def check_tsv(text, X, y):
    lines = [o.strip(blanks) for o in text.decode('utf-8', 'replace').removeprefix('\ufeff').split('\n')]
    lines = [o for o in lines if o]
    sep = next((o for o in '\t,' if o in lines[0]), None)
    rows = [[v.strip(blanks) for v in (o.split(sep) if sep else re.split(f'[{blanks}]+', o))] for o in lines]
    assert y.tolist()==[r[0] for r in rows]
    vals = [[float(v.replace('?', 'nan')) for v in r[1:]] for r in rows]
    for v in vals:
        while np.isnan(v[-1]): v.pop()
    same_series(X, [[v] for v in vals])

def sentence(path): # which shows the end of a long path
    return rf'\S*{re.escape(path.name)}, line \d+: expected .+, got .+'

@runs(1500, 20_000)
@pytest.mark.parametrize('reader,seeds,check', [(read_ts, ts_seeds, check_ts), (read_tsv, tsv_seeds, check_tsv)])
def test_fuzz(tmp_path, reader, seeds, check, n):
    path = tmp_path/'f'
    def checked(text, X, y):
        check_form(X, y)
        check(text, X, y)
    read = fuzz(reader, path, seeds(), tokens, n, checked, sentence(path))
    assert n/10<read<n*3/4 # both outcomes are frequent

def test_masked_values_are_written_as_missing(tmp_path):
    write_ts(tmp_path/'m.ts', np.ma.array([[[1.,2,3]]], mask=[[[0,1,0]]]))
    np.testing.assert_array_equal(read_ts(tmp_path/'m.ts')[0], [[[1,np.nan,3]]])
