"For any data, an error is one sentence of fewer than 300 characters"
import numpy as np, pandas as pd, pytest
from hypothesis import strategies as st
from searched import searched
from xceptiontime.data.columns import Columns
from xceptiontime.data.formats import read_series, write_ts
from xceptiontime.data.sets import get_ucr, make_bumps, read_files, read_pair
from xceptiontime.data.splits import check_splits, get_splits
from xceptiontime.data.tables import read_table
from xceptiontime.data.windows import sliding_windows, window_label

long = 'x'*50_000
many = [f'{i} {long[:50]}' for i in range(3000)]

def is_short(call):
    "The error of `call`, which is checked"
    with pytest.raises((ValueError, TypeError, OSError)) as e: call()
    said = str(e.value)
    assert len(said)<300 and said.isprintable(), f'{len(said)} characters: {said[:400]}'
    assert ': expected ' in said and ', got ' in said, said
    return said

texts = {
    'ts': ['1,2\n', f'@{long}\n', f'@missing {long}\n', f'@data\n{long}\n', f'@data\n1,{long}\n',
        '@data\n1:'+':'.join(['1,2']*9999),
        f'@classLabel true {" ".join(many)}\n@data\n1:{long}\n',
            f'@targetLabel true\n@data\n1:{long}\n',
        f'@timestamps true\n@data\n({long},1)\n', f'@missing false\n@missing {long}\n',
            '@data\n1,1e'+'9'*9999,
        f'@classLabel true {long}\n@targetLabel true\n@data\n',
            f'@dimensions {"9"*18}\n@data\n1,2\n', '@data\n'+'\0\x1b'*999],
    'tsv': [f'{long}', f'a\t{long}\n', 'a\t1\nb'+'\t1'*9999, 'a\t'+'\x1b'*500,
        f'a\t{long},{long}\t1'],
    'arff': [f'@attribute {long}\n', f'@attribute {long} {{{",".join(many)}}}\n@data\n{long}\n',
        f'@attribute {long} string\n', f"@attribute a numeric\n@data\n'{long}\n",
        f'@attribute a numeric\n@attribute {long} {{x}}\n@attribute b numeric\n@data\n1,2\n'],
    'csv': [f'{long}\n', f'{long}\n{long}\n', ','.join(many)+'\n1,2\n', f'a\n"{long}\n',
        ','.join(many)+'\n'+','.join(many),
        f'{long},{long}\n1,2\n', ','.join(map(str, range(9999, 0, -1)))+'\n'],
    'npz': [long, 'PK\3\4'+long, '\x93NUMPY'+long], 'npy': ['\x93NUMPY\1\0v\0'+long],
        'parquet': [long]}

@pytest.mark.parametrize('end', texts)
def test_readers(tmp_path, end):
    names = f'p.{end}',f"{'n'*180}/{'ö'*100}/{'n'*180}/{'n'*200}.{end}"
    for name in names:
        p = tmp_path/name
        p.parent.mkdir(parents=True, exist_ok=True)
        for text in texts[end]:
            p.write_text(text, encoding='utf-8')
            is_short(lambda: read_series(p))
        p.unlink()
        is_short(lambda: read_series(p))
        is_short(lambda: read_series(p.with_suffix('.mat')))

def test_tables(tmp_path):
    wide = pd.DataFrame(np.ones((2,3000)), columns=many)
    wide.to_csv(tmp_path/'wide.csv', index=False)
    for table in wide, tmp_path/'wide.csv':
        for kwargs in (dict(label=long), dict(label=many), dict(id=long),
                dict(columns=[*many, long]), dict(columns=many*2),
                dict(label=many[0], target=many[1]), dict(time=long), dict(columns=long),
                    dict(sep=long)):
            is_short(lambda: read_table(table, Columns(**kwargs)))
        is_short(lambda: read_table(table, Columns(), groups=long))
    is_short(lambda: read_files(tmp_path/f'{"n"*200}.ts', groups=long, id=long))
    is_short(lambda: read_table(wide.assign(**{long: long}), Columns()))
    is_short(lambda: read_table(wide.assign(**{long: long, 'id': 0}), Columns(id='id', label=many[0], time=long)))
    two_labels = wide.assign(id=0, y=[long, long+'x'])
    is_short(lambda: read_table(two_labels, Columns(id='id', label='y')))
    is_short(lambda: read_table(two_labels, Columns(label='y'), groups='who'))

def test_two_files(tmp_path):
    paths = [tmp_path/f'{c*240}.csv' for c in 'ab']
    def write(*frames):
        for p,df in zip(paths, frames): df.to_csv(p, index=False)
    a = pd.DataFrame(np.ones((2,500)), columns=many[:500]).assign(y='u')
    write(a, a[[*many[:500][::-1], 'y']])
    is_short(lambda: read_files(*paths, label='y'))
    is_short(lambda: read_files(*paths, label='y', id=many[0]))
    write(a, a.drop(columns='y'))
    is_short(lambda: read_pair(*paths, columns=many[:5]))
    is_short(lambda: read_files(*paths, groups=long, label='y'))

def test_splits():
    y = np.array([*many, *many])
    for kwargs in (dict(valid_size=.1), dict(n_splits=3), dict(groups=np.repeat(many, 2)),
            dict(valid_groups=many, groups=np.arange(6000)),
            dict(valid_size=10**400), dict(valid_size=long), dict(seed=0, groups=many),
                dict(n_splits=10**400),
            dict(valid_groups=many[:50], test_groups=many, groups=y),
                dict(valid_groups=many, ordered=True),
            dict(valid_groups=many, n_splits=2), dict(gap=10**400), dict(groups=[None]*6000)):
        is_short(lambda: get_splits(y, **kwargs))
    is_short(lambda: get_splits(np.array([long, None]*9, dtype=object)))
    n = np.arange(6000)
    arrays = (n, n), (n, n+1), (n, n>5), (n, np.r_[n,n]), (n*.5,), (n[None],), ([],), [(n[:9],[9]), (n,n)]
    for splits in *arrays, many, long, [[long]]:
        is_short(lambda: check_splits(splits, 6000))
    is_short(lambda: check_splits((n[::2], n[1::2]), 6000, groups=np.repeat(many, 2)))
    is_short(lambda: check_splits((n[::2], n[1::2]), 6000, spans=([long[:500]]*6000, n, n+2)))

def test_windows_and_sets(tmp_path):
    r = np.zeros((2,50))
    for kwargs in (dict(length=long), dict(length=.1, rate=long), dict(length=10**400),
            dict(length=5, pad=long), dict(length=5, label=long),
            dict(length=5, labels=many), dict(length=5, labels=[many]), dict(length=5, groups=many),
                dict(length=99)):
        is_short(lambda: sliding_windows(r, **kwargs))
    is_short(lambda: sliding_windows([np.array([long])], 5))
    is_short(lambda: window_label(many, [10**9], 5))
    is_short(lambda: write_ts(tmp_path/'a.ts', r[:,None], [long+' ', 'b']))
    is_short(lambda: get_ucr(long+'!', path=tmp_path))
    is_short(lambda: get_ucr(long[:200], path=tmp_path, url=[f'http://{long}', 'ftp://a']))
    is_short(lambda: make_bumps(width=10**100))

roles = st.sampled_from(['label','target','id','time','columns','sep'])
texts_of_any_kind = st.text(max_size=400)
@searched(st.dictionaries(roles, texts_of_any_kind), texts_of_any_kind, quick=30, long=1000)
def test_any_names(named, name):
    "Columns and tables with any names"
    df = pd.DataFrame({name: [1.,2.], 'v': ['a','b']})
    try: read_table(df, Columns(**named))
    except ValueError as e: assert len(str(e))<300 and str(e).isprintable(), str(e)

@searched(st.lists(st.text(max_size=100), min_size=1, max_size=30), quick=30, long=1000)
def test_any_labels(labels):
    try: get_splits(np.array(labels), groups=np.array(labels))
    except ValueError as e: assert len(str(e))<300 and str(e).isprintable(), str(e)
