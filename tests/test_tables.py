"Tables of time series, ARFF and numpy's files: against pandas, scipy, other formats and values from the file"
import io, random, re, shutil, struct, tempfile, tracemalloc, zipfile
from pathlib import Path
import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from hypothesis import strategies as st
from scipy.io import arff
from searched import searched
from series_files import data, file, fuzz, runs # noqa: F401
from xceptiontime.data.formats import from_frame, read_arff, read_csv, read_npz, read_parquet, read_series, read_ts
from xceptiontime.data.columns import Columns
from xceptiontime.data.sets import read_files
from xceptiontime.data.tables import column_names, read_table

def same(X, ref):
    assert len(X)==len(ref)
    for x,r in zip(X, ref):
        np.testing.assert_array_equal(x, np.asarray(r, dtype=np.float64).astype(np.float32))
        assert x.shape==np.shape(r) and x.dtype==np.float32 and x.flags.c_contiguous

def table_of(df, end, folder):
    "`df` itself, or the file that holds it"
    if end=='frame': return df
    path = folder/f't.{end}'
    if end=='csv': df.to_csv(path, index=False)
    else: df.to_parquet(path)
    return path

def warned(call):
    "The texts of the warnings of `call`"
    with pytest.warns(UserWarning) as w: call()
    assert all(len(str(o.message))<300 for o in w)
    return [str(o.message) for o in w]

ends = pytest.mark.parametrize('end', ['frame','csv','parquet'])

# ARFF

@pytest.mark.parametrize('name', ['GunPoint','ArrowHead'])
def test_plain_arff(name):
    p = data/name/f'{name}_TRAIN.arff'
    X,y = read_arff(p)
    rows,meta = arff.loadarff(p)
    names = meta.names()
    same(X[:,0], np.array([list(o)[:-1] for o in rows]))
    assert y.tolist()==[o[names[-1]].decode() for o in rows]
    X2,y2 = read_ts(data/name/f'{name}_TRAIN.ts')
    np.testing.assert_array_equal(X, X2)
    assert y.tolist()==y2.tolist()

def test_relational_arff():
    X,y = read_series(data/'BasicMotions'/'BasicMotions_TRAIN.arff')
    X2,y2 = read_ts(data/'BasicMotions'/'BasicMotions_TRAIN.ts')
    np.testing.assert_array_equal(X, X2)
    assert y.tolist()==y2.tolist()

plain = '@relation r\n@attribute a numeric\n@attribute b numeric\n@attribute c {x,y}\n@data\n'
relat = ("@relation 'r'\n@attribute s relational\n@attribute a numeric\n@attribute b numeric\n@end s\n"
    "@attribute c {x,y}\n@data\n")

def test_arff_layout(file):
    text = ('% c\n@RELATION "a b"\n\n@Attribute \'t 0\' REAL\n@attribute\tt1\tinteger\n'
        '@attribute "the class" {A, \'b c\', "d\\"e"}\n@DATA\n% c\n'
        '1, -2e1 ,A\r\n\n?,3,\'b c\'\n4,5,"d\\"e"\n')
    X,y = read_arff(file(text))
    same(X[:,0], [[1,-20],[np.nan,3],[4,5]])
    assert y.tolist()==['A','b c','d"e']
    X,y = read_arff(file(relat+"'1,2\\n3,4',x\n\"5,?\\n6,?\",y\n"))
    same(X, [[[1,2],[3,4]], [[5],[6]]])
    X,y = read_arff(file(relat+"'1,2\\n3,4',x\n\"5,?\\n?,6\",y\n"))
    same(X, [[[1,2],[3,4]], [[5,np.nan],[np.nan,6]]])
    text = '@relation r\n@attribute a numeric\n@attribute b numeric\n@data\n1,2\n3,4\n'
    X,y = read_arff(file(text))
    assert y is None
    same(X[:,0], [[1,2],[3,4]])
    X,y = read_arff(file(text), target='b')
    same(X[:,0], [[1],[3]])
    assert y.dtype==np.float64 and y.tolist()==[2,4]
    X,y = read_arff(file('@relation r\n@attribute c {x,y}\n@attribute a numeric\n@data\nx,1\ny,2\n'), label='c')
    assert y.tolist()==['x','y']

@pytest.mark.parametrize('text,kw,words', [
    (plain+'1,2\n', {}, 'line 6: expected 3 fields, one an attribute, got 2'),
    (plain+'1,z,x\n', {}, "line 6: expected a number, ? or NaN, got 'z'"),
    (plain+'1,2,z\n', {}, "line 6: expected a label from {x,y}, got 'z'"),
    (plain+'1,2,?\n', {}, "line 6: expected a label from {x,y}, got '?'"),
    (plain+'1,1e39,x\n', {}, 'line 6: expected a value that float32 can hold'),
    (plain+'1,2,x\n?,?,y\n', {}, 'line 7: expected a series with at least one value'),
    (plain+"1,2,'x\n", {}, 'line 6: expected fields separated by commas'),
    (plain, {}, 'line 5: expected a series after @data, got none'),
    (plain, dict(target='b'),
        "line 5: expected only numbers besides label= or target=, got attribute 'c'"),
    (plain, dict(label='b'),
        "line 5: expected only numbers besides label= or target=, got attribute 'c'"),
    (plain.replace('@attribute b numeric\n', ''), dict(target='c'),
        "line 4: expected labels for label=, numbers for target=, got attribute 'c'"),
    (plain.replace('b numeric', 'a numeric'), {}, 'line 3: expected a new name'),
    (plain.replace('b numeric', 'b string'), {},
        'line 3: expected @attribute, a name, then numeric, relational or labels in braces'),
    (plain.replace('@data\n', ''), {},
        'line 5: expected attributes and a line @data, got the end of the file'),
    ('@data\n1\n', {}, 'line 1: expected @attribute'),
    (relat+"'1,2\\n3,4',x\n'1,2',x\n", {}, 'line 9: expected 2 channels as in line 8, got 1'),
    (relat+"'1,2\\n3',x\n", {}, 'line 8: expected 2 values a channel as in the header, got 1'),
    (relat.replace('@end s\n', '')+"'1,2',x\n", {},
        'line 5: expected numeric steps in the relational attribute'),
    (relat.replace('a numeric', 'a {x}'), {}, 'line 3: expected numeric steps'),
])
def test_bad_arff(file, text, kw, words):
    p = file(text, 'p.arff')
    with pytest.raises(ValueError) as e: read_arff(p, **kw)
    assert type(e.value) is ValueError and words in str(e.value)
    assert str(e.value).startswith(f'{p}, line ')

# CSV

def test_real_csv():
    "Quarterly changes in the US, five channels of one series; pandas is the other reader"
    p = data/'Uschange'/'Uschange.csv'
    cols = ['Consumption','Income','Production','Savings','Unemployment']
    df = pd.read_csv(p, float_precision='round_trip').assign(id='us')
    X,y = from_frame(df, id='id', columns=cols)
    same(X[0], df[cols].to_numpy().T)
    with pytest.raises(ValueError, match="columns: expected names of 'Uschange.csv', got '', an index"): read_csv(p)
    wide,_ = read_csv(p, columns=cols)
    same(wide[:,0], df[cols].to_numpy())

def test_csv_dates():
    "A gait recording as one long series"
    p = data/'Daphnet_S06R02E0'/'S06R02E0.csv'
    lines = p.read_text().splitlines()
    text = 'who,'+lines[0]+'\n'+'\n'.join('s06,'+o for o in random.Random(0).sample(lines[1:], len(lines)-1))
    X,y = read_csv_text(text, id='who', time='timestamp', columns=lines[0].split(',')[1:-1])
    same(X[0], np.array([o.split(',')[1:-1] for o in lines[1:]], dtype=float).T)

def read_csv_text(text, **kw):
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        (Path(d)/'t.csv').write_text(text, encoding='utf-8')
        return read_csv(Path(d)/'t.csv', **kw)

def test_csv_layout(file):
    text = '\ufeff"the label";0;1;2\r\n01;1.5;"2";\r\n\r\n"a;b";?;NaN;-3e2\r\n'
    X,y = read_csv(file(text), label='the label', sep=';')
    same(X, [[[1.5,2]], [[np.nan,np.nan,-300]]])
    assert y.tolist()==['01','a;b']
    X,y = read_csv(file('1,2,a\n3,4,b'), header=False, label=2)
    same(X[:,0], [[1,2],[3,4]])
    X,y = read_csv(file('0.0,0.5,1.0,score\n1,2,3,\n4,5,6,1e300\n'), target='score')
    np.testing.assert_array_equal(y, [np.nan,1e300])
    X,y = read_csv(file('k,u,v,c\n1,1,10,x\n2,5,50,y\n1,2,20,x\n'), id='k', label='c', columns=['v','u'])
    same(X, [[[10,20],[1,2]], [[50],[5]]])
    assert y.tolist()==['x','y']
    X,y = read_csv(file('k,t,u\n1,10,1\n1,9,2\n1,1e1.5,3\n'.replace('1e1.5','100')), id='k', time='t')
    same(X, [[[2,1,3]]])         # as numbers, not as text

advice = '(label=, target=, id= and time= name the columns that hold no measurements, columns= those that do)'

@pytest.mark.parametrize('text,kw,words', [
    ('a,b\n1,2\n3\n', {}, ', line 3: expected 2 fields as in the first row, got 1'),
    ('a,b\n1,x\n', {},
        ", line 2: expected a number in column 'b' "+advice+", got 'x'"),
    ('a,b\n1,2\n3,x\n', {}, ", line 3: expected a number, ? or NaN, got 'x'"),
    ('a,b\n1,2\n3,"1,5"\n', {},
        ", line 3: expected a number in column 'b' "+advice+", got '1,5'"),
    ('a,b\n1,2\n3,1e39\n', {}, ', line 3: expected a value that float32 can hold'),
    ('0.5,0.1\n0.2,0.3\n', {},
        ', line 1: expected column names (say header=False if there are none)'),
    ('0.5,0.1,up\n', {}, ', line 1: expected column names (say header=False if there are none)'),
    ('a,b\n', {}, ', line 1: expected names and at least one row, got none'),
    ('', {}, ', line 1: expected names and at least one row, got none'),
    ('a,b\n1,2\n,\n', {}, ', line 3: expected a series with at least one value'),
    ('a,b\n1,2\n3,\n', dict(label='b'),
        ", line 3: expected a value in column 'b', got an empty field"),
    ('a,b\n1,2\n3,x\n', dict(target='b'), ", line 3: expected a number in column 'b', got 'x'"),
    ('a,b\n1,2\n3,1e999\n', dict(target='b'),
        ", line 3: expected a number in column 'b', got '1e999'"),
    ('k,t,a\n1,0,1\n1,0,2\n', dict(id='k', time='t'),
        ', line 3: expected one row a time within a series '
        '(where ids repeat, id= takes several columns), got 0.0 twice'),
    ('k,t,a\n1,0,1\n1,noon,2\n', dict(id='k', time='t'),
        ", line 3: expected a number or a date in column 't', got 'noon'"),
    ('k,t,a\n1,0,1\n1,2020-01-01,2\n', dict(id='k', time='t'),
        ', line 2: expected times that can be sorted'),
    ('k,a,c\n1,0,x\n1,1,y\n', dict(id='k', label='c'),
        ", line 3: expected one label a series, got 'y' after 'x'"),
    ('a,y\n1,u\n2, \n', dict(label='y'),
        ", line 3: expected a value in column 'y', got an empty field"),
    ('k,a\n,0\n', dict(id='k'), ", line 2: expected a value in column 'k', got an empty field"),
    ('a,b\n1,"2\n', {}, ", line 2: expected fields separated by ','"),
    ('a,b\n1,"2"3\n', {}, ", line 2: expected fields separated by ','"),
    (b'a,b\n1,\xff\n', {}, ', line 2: expected text in UTF-8'),
])
def test_bad_csv(file, text, kw, words):
    p = file(text)
    with pytest.raises(ValueError) as e: read_csv(p, **kw)
    assert type(e.value) is ValueError and str(e.value).startswith(str(p)+words)

@pytest.mark.parametrize('kw,words', [
    (dict(target=['a','b']), "target: expected the name of one column, got ['a', 'b']"),
    (dict(label='a', target='b'), "label, target: expected one of them, got 'a' and 'b'"),
    (dict(time='a'), "time: expected with id= (a long table), got 'a' alone"),
    (dict(label='z'), "label: expected one of the columns 'a', 'b'{of}, got 'z'"),
    (dict(columns=['a','z']), "columns: expected one of the columns 'a', 'b'{of}, got 'z'"),
    (dict(columns='ab'), "columns: expected a list of names, got 'ab'"),
    (dict(columns=['a','a']), "columns: expected different names, got 'a' twice"),
    (dict(label='b', columns=['a','b']),
        "columns: expected columns of values, got 'b', which is what is to be predicted"),
    (dict(target='b', columns=['b']),
        "columns: expected columns of values, got 'b', which is what is to be predicted"),
    (dict(label='a', id='b'), 'columns: expected at least one column of values{of}, got none'),
])
def test_bad_arguments(file, kw, words):
    "An error about the columns of a file names the file"
    df,path = pd.DataFrame({'a':[1.,2.], 'b':[3.,4.]}),file('a,b\n1,3\n2,4\n')
    for f,of in (lambda: from_frame(df, **kw), ''),(lambda: read_csv(path, **kw), " of 'p.csv'"):
        with pytest.raises(ValueError) as e: f()
        assert str(e.value)==words.format(of=of)

def test_blanks_do_not_count(tmp_path):
    "Blanks around labels and ids are removed in frames, CSV and parquet; blanks inside are kept"
    df = pd.DataFrame({'id':['a ',' a','b'], 'v':[1.,2.,3.], 'y':['to walk',' to walk','run\t']})
    df.to_csv(tmp_path/'t.csv', index=False)
    df.to_parquet(tmp_path/'t.parquet')
    ways = [lambda **kw: from_frame(df, **kw), lambda **kw: read_series(tmp_path/'t.csv', **kw),
        lambda **kw: read_series(tmp_path/'t.parquet', **kw)]
    for read in ways:
        X,y = read(id='id', label='y')
        same(X, [[[1,2]], [[3]]])
        assert y.tolist()==['to walk','run']
        assert read(label='y', columns=['v'])[1].tolist()==['to walk','to walk','run']
    df.loc[1,'y'] = '  '
    df.to_csv(tmp_path/'t.csv', index=False)
    df.to_parquet(tmp_path/'t.parquet')
    for read in ways:
        with pytest.raises(ValueError, match="expected a value in column 'y', got"):
            read(label='y', columns=['v'])

def test_blanks_around_names(file):
    text = 'id , t, u ,y\n1,0,5,x\n1,1,6,x\n'
    X,y = read_csv(file(text), id='id', time='t', label='y')
    same(X, [[[5,6]]])
    assert column_names(file(text))==['id','t','u','y']
    assert read_table(file(text), Columns('y', id='id', time='t')).channels==['u']
    with pytest.raises(ValueError, match="columns: expected different names of 'p.csv', got 'u' twice"):
        read_csv(file('u,u \n1,2\n'))

# other dialects of CSV

def recordings_frame():
    "Two series of people, with a missing value and a name that is not ASCII"
    return pd.DataFrame(dict(Wer=['jörg']*3+['ann']*3, x=[1.5,-2,np.nan,4,5,6], y=[.25,1e-3,2,3,4,1234.5],
                             how=['a']*3+['b']*3))

want = [[1.5,-2,np.nan],[.25,1e-3,2]], [[4,5,6],[3,4,1234.5]]

@pytest.mark.parametrize('kind', ['csv','csv.gz'])
@pytest.mark.parametrize('encoding', ['utf-8','utf-8-sig','utf-16','utf-32','cp1252','latin-1','utf-16-le'])
def test_encodings(tmp_path, encoding, kind):
    "Encodings with a byte order mark are detected"
    path = tmp_path/f't.{kind}'
    recordings_frame().to_csv(path, index=False, encoding=encoding)
    how = dict(encoding=encoding) if encoding in ('cp1252','latin-1','utf-16-le') else {}
    table = read_table(path, Columns('how', id='Wer', **how))
    same(table.X, want)
    assert table.ids.tolist()==['jörg','ann'] and table.channels==['x','y']
    assert column_names(path, **how)==['Wer','x','y','how']
    if not how: return
    with pytest.raises(ValueError, match=r"expected text.*encoding='\S+'.* reads") as e: read_series(path, id='Wer')
    assert len(str(e.value))<300

@pytest.mark.parametrize('encoding', ['utf-16','cp1252'])
def test_german_excel(tmp_path, encoding):
    path = tmp_path/'t.csv'
    df = recordings_frame().assign(zeit=['31.12.2020 23:59:59,5','01.01.2021 00:00:00','31.12.2020 23:59:59']*2)
    df.to_csv(path, index=False, sep=';', decimal=',', encoding=encoding, lineterminator='\r\n')
    how = dict(sep=';', decimal=',', encoding=encoding)
    X,y = read_series(path, label='how', id='Wer', time='zeit', **how)
    same(X, np.array(want)[:,:,[2,0,1]])
    assert y.tolist()==['a','b']
    _,target = read_csv(path, target='x', columns=['y'], **how)
    np.testing.assert_array_equal(target, df.x)
    with pytest.raises(ValueError, match="got '1,5'; decimal=',' reads a comma before the fraction"):
        read_csv(path, label='how', id='Wer', columns=['x'], sep=';', encoding=encoding)
    with pytest.raises(ValueError, match="expected several fields, got .*; sep=';' separates them"):
        read_csv(path, label='how', encoding=encoding)

def test_thousands_are_no_fraction(file):
    with pytest.raises(ValueError, match="line 3: expected a number in column 'a'.*got '1.000,5'"):
        read_csv(file('a;b\n1,5;2\n1.000,5;2\n'), sep=';', decimal=',')

@pytest.mark.parametrize('word', ['NA','NULL','null','None','N/A','#N/A','<NA>','nan','','?','\\N','none',
                                  '-999','-999.0'])
def test_words_for_missing_values(file, word):
    "Words of R, databases, Python, Excel and loggers, among numbers"
    text = f'k,a,b,y\n1,1,{word},2\n1,3,4,2\n2,{word},6,{word}\n2,7,8,{word}\n'
    how = dict(na_values=[-999]) if '9' in word else {}
    X,y = read_csv(file(text), id='k', target='y', **how)
    same(X, [[[1,3],[np.nan,4]], [[np.nan,7],[6,8]]])
    np.testing.assert_array_equal(y, [2,np.nan])

def test_words_among_labels(file, recwarn):
    "A class may have the name None; a word that is probably a missing value gives a warning"
    text = 'a,b,y\n1,2,walk\n3,4,NA\n'
    said, = warned(lambda: read_csv(file(text), label='y'))
    assert "got 'NA' in 1 of 2 rows" in said and "na_values=['NA'] makes it a missing value" in said
    recwarn.clear()
    assert read_csv(file(text), label='y', na_values=[])[1].tolist()==['walk','NA']
    with pytest.raises(ValueError, match="line 3: expected a value in column 'y', got 'NA'"):
        read_csv(file(text), label='y', na_values=['NA'])
    assert not len(recwarn)

stamps = { # sorted by time
    'iso': ['2020-02-28 10:00','2020-02-28T10:00:00.5','2020-03-01'],
    'german': ['28.02.2020 10:00','28.02.2020 10:00:00,5','01.03.2020'],
    'us': ['2/28/2020 10:00 AM','2/28/2020 1:00:00 PM','3/1/2020'],
    'year first': ['2020/02/28 10:00','2020/02/28 10:00:00.5','2020/03/01'],
    'named': ['28-Feb-2020 10:00','28-Feb-2020 13:00:00','01-Mar-2020'],
    'clock': ['9:59:59.75','10:00:00','10:00:00.25'],
    'stopwatch': ['01:05.25','01:06.5','10:00.0'],
    'one day': ['03/04/2020 9:00','03/04/2020 10:00','03/04/2020 11:00'],
}

@pytest.mark.parametrize('kind', stamps)
@ends
def test_dates_and_times(tmp_path, kind, end):
    df = pd.DataFrame(dict(k=1, t=stamps[kind], v=[0.,1,2])).iloc[[2,0,1]]
    same(read_table(table_of(df, end, tmp_path), Columns(id='k', time='t')).X, [[[0,1,2]]])

@ends
def test_days_that_may_be_months(tmp_path, end):
    table = table_of(pd.DataFrame(dict(k=1, t=['03/04/2020','04/03/2020'], v=[0.,1])), end, tmp_path)
    with pytest.raises(ValueError, match="a number or a date in column 't', got '03/04/2020'.*; dayfirst=True or "):
        read_table(table, Columns(id='k', time='t'))
    same(read_table(table, Columns(id='k', time='t', dayfirst=True)).X, [[[1,0]]])
    same(read_table(table, Columns(id='k', time='t', dayfirst=False)).X, [[[0,1]]])
    table = table_of(pd.DataFrame(dict(k=1, t=['13/04/2020','04/13/2020'], v=[0.,1])), end, tmp_path)
    for first in (None,True,False):
        with pytest.raises(ValueError, match="expected a number or a date in column 't', got"):
            read_table(table, Columns(id='k', time='t', dayfirst=first))

def test_times_of_day_across_midnight(tmp_path):
    df = pd.DataFrame(dict(k=1, t=['23:59:58','23:59:59','00:00:00'], v=[0.,1,2]))
    for end in ('frame','csv'):
        said,_ = warned(lambda: read_table(table_of(df, end, tmp_path), Columns(id='k', time='t')))
        assert 'past midnight?' in said

def test_times_as_objects():
    "Objects of `df.t.dt.time` and `df.t.dt.date`"
    t = pd.to_datetime(pd.Series(['2020-01-02 10:00','2020-01-01 11:00']))
    df = pd.DataFrame(dict(k=1, v=[0.,1], day=t.dt.date, clock=t.dt.time, since=t-t.min()))
    same(from_frame(df, id='k', time='day', columns=['v'])[0], [[[1,0]]])
    same(from_frame(df, id='k', time='clock', columns=['v'])[0], [[[0,1]]])
    same(from_frame(df, id='k', time='since', columns=['v'])[0], [[[1,0]]])

def test_what_pandas_reads_is_named(file):
    for text in ('a,b\n1,2\n3\n', 'a,b\n1,x\n', 'a,b\n1,2\n3,x\n', 'a,b\n1,"2"3\n'):
        with pytest.raises(ValueError) as e: read_csv(file(text))
        assert str(e.value).endswith('; pd.read_csv and from_df read tables of other forms')
    with pytest.raises(ValueError, match='expected a file that gzip has packed'):
        read_csv(file('a,b\n1,2\n', 'p.csv.gz'))

def test_what_was_said_of_text_needs_text(tmp_path):
    df = recordings_frame()
    for end in ('frame','parquet'):
        for name,value in dict(sep=';', decimal=',', encoding='latin-1', na_values=[]).items():
            how = {name: value, **(dict(sep=';') if name=='decimal' else {})}
            with pytest.raises(ValueError, match=f'{name}: expected only with a .csv, got'):
                read_table(table_of(df, end, tmp_path), Columns(id='Wer', **how))

# DataFrames

@pytest.mark.parametrize('col,words', [
    (['x',1], "df: expected a number in column 'v', got 'x' in row 0"),
    ([1,'2'], "df: expected a number in column 'v', got '2' in row 1"),
    ([1,1j], "expected a number in column 'v', got"),
    (pd.to_datetime(['2020-01-01','2020-01-02']), "expected a number in column 'v'"),
    ([1,1e39], "expected a value that float32 can hold (up to 3.4e38) in column 'v', got 1e+39 in row 1"),
])
def test_bad_frame(col, words):
    with pytest.raises(ValueError) as e: from_frame(pd.DataFrame({'u':[1,2], 'v':col}))
    assert words in str(e.value)

def test_bad_keys():
    df = pd.DataFrame({'v':[1.,2.], 'c':['x',None], 't':pd.to_datetime(['2020-01-01',None]), 'k':[1,1]})
    for kw,words in [(dict(label='c', columns=['v']), "df: expected a value in column 'c'"),
            (dict(id='k', time='t', columns=['v']), "df: expected a value in column 't'")]:
        with pytest.raises(ValueError) as e: from_frame(df, **kw)
        assert words in str(e.value) and 'row 1' in str(e.value)
    with pytest.raises(ValueError, match="columns: expected different names, got 'v' twice"):
        from_frame(df[['v','v']])
    with pytest.raises(ValueError, match="got 'Unnamed: 0', an index"):
        from_frame(pd.DataFrame({'Unnamed: 0':[0], 'a':[1]}))
    with pytest.raises(ValueError, match='df: expected at least one row, got none'):
        from_frame(df[:0][['v']])

def test_times_as_text_in_a_frame():
    "Text is read as numbers or dates, as in a .csv; sorted as text, '10' would come before '2'"
    df = pd.DataFrame({'k':0, 't':[str(i) for i in range(12)][::-1], 'v':np.arange(12.)[::-1]})
    same(from_frame(df, id='k', time='t')[0][0], [np.arange(12.)])
    same(from_frame(df.assign(t=pd.Categorical(df.t)), id='k', time='t')[0][0], [np.arange(12.)])
    dates = df.assign(t=[f'2020-01-{i:02d} 12:00:00' for i in range(12,0,-1)])
    same(from_frame(dates, id='k', time='t')[0][0], [np.arange(12.)])
    with pytest.raises(ValueError,
            match="expected a number or a date in column 't', got '1/2/2020' in row 0"):
        from_frame(df.assign(t='1/2/2020'), id='k', time='t')

def test_frame_types():
    "Integers, missing values, booleans, decimals and categories are read correctly"
    from decimal import Decimal
    df = pd.DataFrame({'a':pd.array([1,None,3], 'Int64'), 'b':[True,False,True],
        'c':[Decimal('1.5'),None,2], 'd':np.arange(3, dtype=np.int8),
        'y':pd.Categorical(['u','v','u']), 'n':[3,1,2],
            't':pd.date_range('2020-01-01', periods=3)[::-1]})
    X,y = from_frame(df, label='y', columns=['a','b','c','d'])
    same(X[:,0], [[1,1,1.5,0],[np.nan,0,np.nan,1],[3,1,2,2]])
    assert y.tolist()==['u','v','u']
    assert from_frame(df, label='n', columns=['d'])[1].tolist()==['3','1','2']
    X,_ = from_frame(df.assign(k=0), id='k', time='t', columns=['d'])
    same(X, [[[2,1,0]]])

values = st.floats(width=32, allow_infinity=False)

@searched(st.data(), quick=10, long=100)
def test_three_ways_agree(d):
    "The same long table as a frame, as CSV and as parquet, its rows shuffled"
    tmp = Path(tempfile.mkdtemp())
    lens,c = d.draw(st.lists(st.integers(1,4), min_size=1, max_size=4)),d.draw(st.integers(1,3))
    def draw(n): return d.draw(st.lists(st.lists(values, min_size=n, max_size=n), min_size=c, max_size=c))
    X = [np.array(draw(n), dtype=np.float32) for n in lens]
    y = d.draw(st.lists(st.sampled_from(['a','01','b c','1.0','NA','Größe','x,"y"']), min_size=len(X), max_size=len(X)))
    rows = [[f's{i}',t,*x[:,t],y[i]] for i,x in enumerate(X) for t in range(x.shape[1])]
    first,rest = [r for r in rows if r[1]==0],[r for r in rows if r[1]]
    df = pd.DataFrame(first+d.draw(st.permutations(rest)), columns=['id','t',*'uvw'[:c],'y'])
    df.to_csv(tmp/'t.csv', index=False)
    df.to_parquet(tmp/'t.parquet')
    for read,table in (from_frame,df),(read_csv,tmp/'t.csv'),(read_parquet,tmp/'t.parquet'):
        if any(np.isnan(x).all() for x in X):
            with pytest.raises(ValueError, match='a series with at least one value, got missing values only'):
                read(table, id='id', time='t', label='y')
            continue
        X2,y2 = read(table, id='id', time='t', label='y')
        same(X2, [x[:,:np.flatnonzero(~np.isnan(x).all(0))[-1]+1] for x in X]) # missing values at the end are padding
        whole = all(o in ('01','1.0') for o in y)
        assert y2.tolist()==[o.removesuffix('.0') if whole else o for o in y]
    shutil.rmtree(tmp)

def test_parquet(tmp_path):
    df = pd.DataFrame({'t0':[1.,2.], 't1':[3.,np.nan], 'y':[1,2]})
    df.to_parquet(tmp_path/'w.parquet')
    X,y = read_series(tmp_path/'w.parquet', target='y')
    same(X, [[[1,3]],[[2]]])
    assert y.dtype==np.float64 and y.tolist()==[1,2]
    with pytest.raises(ValueError,
            match=r"w.parquet: expected a number in column 'c', got 'x' in row 0"):
        df.assign(c='x').to_parquet(tmp_path/'w.parquet')
        read_parquet(tmp_path/'w.parquet')
    (tmp_path/'b.parquet').write_bytes(b'PAR1 not really')
    with pytest.raises(ValueError, match='b.parquet: expected a parquet file, got'):
        read_parquet(tmp_path/'b.parquet')
    with pytest.raises(FileNotFoundError): read_parquet(tmp_path/'none.parquet')

@pytest.mark.parametrize('end', ['csv','parquet'])
def test_each_file_is_opened_once(tmp_path, monkeypatch, end):
    df = pd.DataFrame({'id':[1,1,2], 'who':['a','a','b'], 'v':[1.,2.,3.], 'y':['u','u','v']})
    paths = [tmp_path/f'{o}.{end}' for o in ('train','valid')]
    for p in paths: df.to_csv(p, index=False) if end=='csv' else df.to_parquet(p)
    opened,really = [],open
    def counted(path, *args, **kwargs):
        opened.append(path)
        return really(path, *args, **kwargs)
    monkeypatch.setattr('builtins.open', counted)
    got = read_files(*paths, groups='who', label='y', id='id')
    assert opened==paths
    assert got['groups'].tolist()==['a','b']*2 and got['channels']==['v'] and got['y'].tolist()==['u','v']*2
    table = read_table(paths[0], Columns(label='y', id='id'), groups='who')
    assert opened[2:]==paths[:1] and table.ids.tolist()==['1','2'] and table.groups.tolist()==['a','b']

# numpy

def test_npz(tmp_path):
    p = tmp_path/'a.npz'
    X = np.random.default_rng(0).normal(size=(4,2,5))
    for save in np.savez,np.savez_compressed:
        save(p, X=X, y=np.array(['b','a','01','Größe']))
        X2,y2 = read_series(p)
        same(X2, X)
        assert y2.tolist()==['b','a','01','Größe']
    np.savez(p, X=X.astype(np.float32).transpose(2,1,0), y=np.arange(5)/3)      # Fortran order comes out in C order
    X2,y2 = read_npz(p)
    same(X2, X.transpose(2,1,0).astype(np.float32))
    assert y2.dtype==np.float64 and y2.tolist()==(np.arange(5)/3).tolist()
    np.savez(p, a=X, b=np.arange(4))
    same(read_npz(p, x='a')[0], X)
    assert read_npz(p, x='a')[1] is None
    assert read_npz(p, x='a', label='b')[1].tolist()==['0','1','2','3']
    y = read_npz(p, x='a', target='b')[1]
    assert y.dtype==np.float64 and y.tolist()==[0,1,2,3]
    np.save(tmp_path/'b.npy', X[:,0])
    same(read_series(tmp_path/'b.npy')[0], X[:,:1])

@pytest.mark.parametrize('arrays,kw,words', [
    (dict(y=[1.]), {}, "expected an array 'X', got none"),
    (dict(X=[[1.]]), dict(label='c'), "expected an array 'c', got none"),
    (dict(X=[1.]), {},
        "expected numbers of shape (samples, channels, length) or (samples, length) in 'X', got floats of shape (1,)"),
    (dict(X=[['a']]), {}, "in 'X', got text of shape (1, 1)"),
    (dict(X=[[1.,-1e39]]), {},
        "expected values that float32 can hold (up to 3.4e38) in 'X', got -1e+39"),
    (dict(X=[[1.]], y=[1.,2.]), {}, "expected a value for each of 1 series in 'y', got shape (2,)"),
    (dict(X=[[1.],[2.]], y=[[0,1],[1,2]]), {},
        "expected floats, or zeros and ones for several labels, in two dimensions of 'y', got integers"),
    (dict(X=[[1.],[2.]], y=[[.5],[1.]]), dict(label='y'),
        "expected floats, or zeros and ones for several labels, in two dimensions of 'y', got floats"),
    (dict(X=[[1.]], y=[1]), {},
        "expected text or floats in 'y' (say label='y' or target='y'), got integers"),
    (dict(X=[[1.]], y=['a']), dict(target='y'), "expected numbers in 'y', got text"),
    (dict(X=[[1.]], y=[1j]), {}, "expected labels or numbers in 'y', got complex numbers"),
    (dict(X=np.array([[{}]], dtype=object)), {},
        'expected numbers or text in X, got pickled objects, which are not loaded'),
])
def test_bad_npz(tmp_path, arrays, kw, words):
    p = tmp_path/'a.npz'
    np.savez(p, **{k:np.asarray(v) for k,v in arrays.items()})
    with pytest.raises(ValueError) as e: read_npz(p, **kw)
    assert str(e.value).startswith(f'{p}: ') and words in str(e.value)

def npy(shape, descr='<f4', n=0):
    head = repr(dict(descr=descr, fortran_order=False, shape=shape)).encode().ljust(117)+b'\n'
    return b'\x93NUMPY\x01\x00'+struct.pack('<H', len(head))+head+b'\0'*n

def test_numpy_claims(file):
    "Headers with sizes of terabytes allocate no memory"
    with pytest.raises(ValueError,
            match='expected 4000000000128 bytes in the file as its header says, got 136'):
        read_npz(file(npy((10**12,), n=8), 'a.npy'))
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w') as z: z.writestr('X.npy', npy((10**6,10**6), n=8))
    with pytest.raises(ValueError, match='bytes in X as its header says'):
        read_npz(file(b.getvalue(), 'a.npz'))
    with zipfile.ZipFile(b := io.BytesIO(), 'w') as z: z.writestr('X.npy', npy((10**9,), n=8))
    # the size in the zip matches the header
    lie = b.getvalue().replace(struct.pack('<II', 136, 136), struct.pack('<II', 136, 4*10**9+128))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='bytes in X as its header says'):
            read_npz(file(lie, 'a.npz'))
        assert tracemalloc.get_traced_memory()[1]<1_000_000
    finally: tracemalloc.stop()

# Mutated files: a result or one sentence

tokens = [b'nan', b'?', b'1e999', b',', b',,', b'\n', b'\r', b'"', b"'", b'\\', b'\\n', b'{', b'}',
    b'@end s\n', b'@data\n', b'@attribute q numeric\n',
    b'\0', b'\xff', b'9'*300, b'2020-01-01', b'-', b' ', b'1_0', b'relational', b'10000000000000',
        b'<f8', b'|O', b'PK']

def seeds_npz():
    out = []
    for save in np.savez,np.savez_compressed:
        b = io.BytesIO()
        save(b, X=np.arange(12, dtype=np.float32).reshape(2,2,3), y=np.array(['a','b']))
        out.append(b.getvalue())
    return out+[npy((2,3), n=24)]

def seeds_parquet():
    b = io.BytesIO()
    pd.DataFrame({'k':[1,1,2], 't':[1.,2.,3.], 'c':['x','x','y']}).to_parquet(b)
    return [b.getvalue()]

def is_step(line, n):
    "Is `line` of a header one of the first `n` steps, or not a step?"
    step = re.match(r'@attribute att([0-9]+)', line)
    return step is None or 1<=int(step[1])<=n

def shorter(line, n):
    "A row with the first `n` values of at most three channels"
    if line[0]!="'": return ','.join(line.split(',')[:n]+line.split(',')[-1:])
    quoted,label = re.fullmatch("'(.*)'(.*)", line).groups()
    channels = [','.join(o.split(',')[:n]) for o in quoted.split('\\n')[:3]]
    return "'"+'\\n'.join(channels)+"'"+label

def cut_arff(name, n=6):
    text = (data/name/f'{name}_TRAIN.arff').read_text()
    head,body = re.split(r'(?m)(?<=^@data)$', text, maxsplit=1)
    keep = [o for o in head.splitlines() if is_step(o, n)]
    lines = [shorter(o, n) for o in body.split('\n') if o][:3]
    return ('\n'.join(keep)+'\n'+'\n'.join(lines)+'\n').encode()

long_rows = b'k,t,u,v,y\na,1,2,3,0.5\na,2,3,4,0.5\n'
@pytest.mark.parametrize('share', [.1, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize('reader,seeds,n', [
    (read_arff, [cut_arff(o) for o in ('GunPoint','BasicMotions')], 4000),
    (lambda p: read_csv(p, label='c'), [b'c,t0,t1\nx,1,2\ny,3,4.5\n"z",,7\n'], 2000),
    (lambda p: read_csv(p, id='k', time='t', target='y'), [long_rows+b'b,2020-01-01,4,5,1\n', long_rows], 2000),
    (read_npz, seeds_npz(), 4000),
    (lambda p: read_parquet(p, id='k', label='c'), seeds_parquet(), 500),
], ids=['arff','csv','long csv','npz','parquet'])
def test_fuzz(tmp_path, reader, seeds, n, share):
    "A result or one sentence"
    p = tmp_path/'f'
    for s in seeds[:2]:
        p.write_bytes(s)
        try: reader(p)
        except ValueError: assert b'2020' in s
    def check(text, X, y):
        assert y is None or len(y)==len(X)
        assert all(x.dtype==np.float32 and x.ndim==2 for x in X)
    n = int(n*share)
    assert 0<fuzz(reader, p, seeds, tokens, n, check)<n

@pytest.mark.parametrize('y', [np.array([[0,1],[1,1]], np.uint8),
        np.array([[True,False],[False,False]]), np.array([[.5,2.],[1.,3.]], np.float32)])
def test_npz_several_outputs(tmp_path, y):
    np.savez(tmp_path/'a.npz', X=np.ones((2,3)), y=y)
    read = read_npz(tmp_path/'a.npz')[1]
    assert read.dtype==(np.float64 if y.dtype.kind=='f' else np.int64) and (read==y).all()

def test_npz_label_that_is_missing(tmp_path):
    np.savez(tmp_path/'a.npz', X=np.ones((3,4)), y=[0.,np.nan,1.])
    with pytest.raises(ValueError,
            match="expected a label for each series in 'y', got NaN for series 1"):
        read_series(tmp_path/'a.npz', label='y')

# Ids that repeat from subject to subject

def trials():
    "Two subjects with trials 0 to 9 each, of 20 steps in two channels; and the same as an array"
    X = np.random.default_rng(0).normal(size=(20,2,20)).astype(np.float32)
    rows = [(f's{i//10}', i%10, *X[i,:,t]) for i in range(20) for t in range(20)]
    return pd.DataFrame(rows, columns=['subject','trial','a','b']), X

@pytest.mark.parametrize('end', ['frame','csv','parquet'])
def test_repeated_ids(tmp_path, end):
    df,X = trials()
    table = df if end=='frame' else tmp_path/f't.{end}'
    if end=='csv': df.to_csv(table, index=False)
    if end=='parquet': df.to_parquet(table)
    both = read_table(table, Columns(id=['subject','trial']), groups='subject')
    same(both.X, X)
    assert both.channels==['a','b'] and both.ids.tolist()==[[f's{i//10}', str(i%10)] for i in range(20)]
    assert both.groups.tolist()==['s0']*10+['s1']*10
    with pytest.warns(UserWarning) as w: joined,_ = from_frame(df, id='trial', columns=['a','b'])
    assert joined.shape==(10,2,40)
    said = str(w[0].message)
    together = "id: expected the rows of each series together, got '0' in 2 places (10 of 10 series)"
    assert said.startswith(together)
    assert "id=['subject', 'trial']" in said and len(said)<300
    with pytest.raises(ValueError, match='expected one group a series'):
        read_table(table, Columns(id='trial'), groups='subject')

def test_repeated_ids_with_times():
    df,X = trials()
    df['t'] = np.tile(np.arange(20), 20)
    same(from_frame(df, id=['subject','trial'], time='t')[0], X)
    with pytest.raises(ValueError, match='where ids repeat, id= takes several columns'):
        from_frame(df, id='trial', time='t', columns=['a','b'])

def test_rows_in_turn_are_no_repeated_ids(recwarn):
    X,_ = from_frame(pd.DataFrame({'id':[1,2]*20, 'a':np.random.default_rng(0).normal(size=40)}), id='id')
    assert X.shape==(2,1,20) and not len(recwarn)

def test_id_in_the_index(tmp_path):
    "An index of `set_index` or `groupby`, in a frame and in a parquet file"
    df = pd.DataFrame(dict(walk=[0,0,0,1,1,1], t=[2,1,0,0,1,2], v=[3.,2,1,4,5,6], how=['a']*3+['b']*3))
    want = from_frame(df, id='walk', time='t', label='how')
    assert want[0].tolist()==[[[1,2,3]],[[4,5,6]]]
    for keys in ('walk', ['walk','t'], ['how','walk']):
        f = df.set_index(keys)
        f.to_parquet(tmp_path/'f.parquet')
        for X,y in (from_frame(f, id='walk', time='t', label='how'),
                    read_parquet(tmp_path/'f.parquet', id='walk', time='t', label='how')):
            np.testing.assert_array_equal(X, want[0])
            assert y.tolist()==['a','b']
    with pytest.raises(ValueError, match="id: expected one of the columns .*, got 'walks'"):
        from_frame(df.set_index('walk'), id='walks', columns=['v'])

# Columns that are not measurements

@ends
def test_an_id_among_steps(tmp_path, end, recwarn):
    X = np.random.default_rng(0).normal(size=(300,60))
    df = pd.DataFrame(X, columns=[f't{i}' for i in range(60)]).assign(how=['up']*150+['down']*150)
    read_table(table_of(df, end, tmp_path), Columns(label='how'))
    assert not len(recwarn)
    table = table_of(df.assign(id=np.arange(300)), end, tmp_path)
    said, = warned(lambda: read_table(table, Columns(label='how')))
    assert '0 to 299, which count the rows' in said
    assert "in 'id', taken for a step" in said and 'columns=' in said and 'groups=' in said
    recwarn.clear()
    read_table(table, Columns(label='how', columns=[f't{i}' for i in range(60)]))
    read_table(table, Columns(label='how'), groups='id')
    assert not len(recwarn)

@ends
def test_a_subject_among_channels(tmp_path, end, recwarn):
    df,_ = trials()
    df['subject'] = df.subject.map({'s0':1,'s1':2})
    df['id'] = df.subject*100+df.trial
    df = df.drop(columns='trial')
    table = table_of(df, end, tmp_path)
    said, = warned(lambda: read_table(table, Columns(id='id')))
    assert "got one value in each of 20 series, 2 different in all, in 'subject', taken for a channel" in said
    recwarn.clear()
    read_table(table, Columns(id='id'), groups='subject')
    read_table(table, Columns(id='id', columns=['subject','a','b']))
    assert not len(recwarn)
    clock = table_of(df.assign(second=np.tile(np.arange(20)/50, 20)), end, tmp_path)
    said, = warned(lambda: read_table(clock, Columns(id='id'), groups='subject'))
    assert "numbers that count the rows, 0 to 0.38, in 'second'" in said and 'time=' in said

@ends
def test_a_recording_with_a_label_a_row(tmp_path, end, recwarn):
    walk = np.random.default_rng(0).normal(size=(300,3)).cumsum(0)
    df = pd.DataFrame(walk, columns=['ax','ay','az']).assign(activity=['sit']*100+['walk']*120+['sit']*80)
    said, = warned(lambda: read_series(table_of(df, end, tmp_path), label='activity') if end!='frame'
        else from_frame(df, label='activity'))
    assert 'got 300 rows of 3 steps, in which a label stays the same for 100 rows' in said
    recwarn.clear()
    from_frame(df.sample(frac=1, random_state=0), label='activity')
    assert not len(recwarn)

# Tables of other libraries

@pytest.mark.parametrize('kind', ['polars','lazy','Table','RecordBatch'])
def test_tables_of_other_libraries(kind):
    df,_ = trials()
    columns = Columns(id=['subject','trial'])
    if kind in ('polars','lazy'):
        table = polars.from_pandas(df)
        if kind=='lazy': table = table.lazy()
    else: table = getattr(pyarrow, kind).from_pandas(df)
    for groups in (None,'subject'):
        for a,b in zip(read_table(table, columns, groups), read_table(df, columns, groups), strict=True):
            np.testing.assert_array_equal(a, b)
    assert column_names(table)==[*df]
    from xceptiontime.data.loaders import TSDataLoaders
    splits = np.arange(10),np.arange(10,20)
    how = dict(label='trial', columns=['a','b'], id=['subject','trial'], groups='subject')
    dls = [TSDataLoaders.from_df(o, splits=splits, **how) for o in (table, df)]
    np.testing.assert_array_equal(dls[0].train_ds.X, dls[1].train_ds.X)
    assert dls[0].channels==['a','b']

@pytest.mark.parametrize('end', ['csv','parquet'])
def test_an_id_where_each_row_is_a_series(tmp_path, end, recwarn):
    "Read as series of one step, with a warning; without a warning if a series has several steps"
    df = pd.DataFrame(dict(id=range(6), how=list('ababab'), **{f't{i}': np.arange(6)/7+i for i in range(4)}))
    path = tmp_path/f'wide.{end}'
    getattr(df, f'to_{end}')(path, index=False)
    X,_ = read_series(path, label='how', id='id', columns=['t0','t1'])
    assert X.shape==(6,2,1)
    said, = recwarn
    assert str(said.message)==('id: expected several rows in each series, a row for each time step, got one row in '
                               'each of 6; a table in which a row is a whole series needs no id=')
    recwarn.clear()
    read_series(path, label='how', columns=['t0','t1','t2','t3'])
    from_frame(df.assign(id=[0,0,1,2,3,4], how=list('aababa')), label='how', id='id', columns=['t0'])
    from_frame(df[:1], label='how', id='id', columns=['t0'])
    assert not len(recwarn)
