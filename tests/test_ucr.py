"`get_ucr` from folders, from aeon's wheel, and from a local HTTP server, also with faults"
import hashlib, io, random, shutil, stat, subprocess, sys, tempfile, threading, time, zipfile
from pathlib import Path
from urllib.request import Request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np, pytest
from hypothesis import strategies as st
from searched import searched
from series_files import data as wheel
from xceptiontime.data import sets
from xceptiontime.data.sets import get_ucr

ts = ('@problemName x\n@timestamps false\n@univariate true\n@equalLength true\n'
    '@classLabel true up down\n@data\n')
train, test = ts+'1,2,3:up\n4,5,6:down\n', ts+'7,8,9:down\n'
pair = {'Toy_TRAIN.ts': train, 'Toy_TEST.ts': test}

def make_zip(entries, **kw):
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED, **kw) as z:
        for name,text in entries.items() if isinstance(entries, dict) else entries:
            z.writestr(name, text)
    return b.getvalue()

good = make_zip(pair)

def is_toy(res):
    X,y,splits = res
    return (X.tolist()==[[[1,2,3]],[[4,5,6]],[[7,8,9]]] and y.tolist()==['up','down','down'] and
            [s.tolist() for s in splits]==[[0,1],
                [2]] and X.dtype==np.float32 and splits[0].dtype==np.int64)

class Server:
    "Serves `files` ({path: bytes}), answers by `odd` ({path: function of the handler}), and counts requests"
    def __init__(self):
        self.files,self.odd = {},{}
        self.seen = [] # paths
        class Handler(BaseHTTPRequestHandler):
            def do_GET(h):
                self.seen.append(h.path)
                if h.path in self.odd: return self.odd[h.path](h)
                if h.path not in self.files: return h.send_error(404)
                self.send(h, self.files[h.path])
            def log_message(h, *a): pass
        self.httpd = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.httpd.server_port}'
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs=dict(poll_interval=.01))
        self.thread.start()
    @staticmethod
    def send(h, body, code=200, length=None, **headers):
        h.send_response(code)
        if length is not False:
            h.send_header('Content-Length', str(len(body) if length is None else length))
        for k,v in headers.items(): h.send_header(k, v)
        h.end_headers()
        h.wfile.write(body)
    def close(self):
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()

@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    s = Server()
    yield s
    s.close()

def refused(tmp_path, words, **kw):
    "The call raises one sentence with `words` and leaves no files"
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(OSError) as e: get_ucr('Toy', path=tmp_path, **kw)
    assert words in str(e.value) and '\n' not in str(e.value)
    assert str(e.value).startswith("url: expected 'Toy', got http") and len(str(e.value))<300
    assert sorted(tmp_path.rglob('*'))==before
    return str(e.value)

def test_download_stays(server, tmp_path):
    server.files['/m/Toy.zip'] = good
    for _ in range(2):
        sha256 = hashlib.sha256(good).hexdigest().upper()
        assert is_toy(get_ucr('Toy', path=tmp_path/'new'/'folder', url=server.url+'/m/', sha256=sha256))
    assert server.seen==['/m/Toy.zip']
    there = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob('*') if p.is_file())
    assert there==['new/folder/Toy/Toy_TEST.ts','new/folder/Toy/Toy_TRAIN.ts']

def test_user_cache(server, tmp_path, monkeypatch):
    server.files['/any.zip'] = make_zip({f'Toy/{k}': v for k,v in pair.items()})
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert is_toy(get_ucr('Toy', url=server.url+'/any.zip'))
    assert (tmp_path/'xceptiontime'/'ucr'/'Toy'/'Toy_TEST.ts').is_file()
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    assert is_toy(get_ucr('Toy', url=server.url+'/any.zip'))
    assert (tmp_path/'home'/'.cache'/'xceptiontime'/'ucr'/'Toy').is_dir()

def test_public_address(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sets, '_download', lambda url, to, *a: (asked.append(url), to.write_bytes(good)))
    assert is_toy(get_ucr('Toy', path=tmp_path))
    assert asked==['https://timeseriesclassification.com/aeon-toolkit/Toy.zip']

def test_mirrors_in_turn(server, tmp_path):
    server.files['/b/Toy.zip'] = good[:-30]
    said = refused(tmp_path, 'HTTP Error 404: Not Found', url=[server.url+'/a', server.url+'/b'])
    assert f'{server.url}/a/Toy.zip (' in said and f'{server.url}/b/Toy.zip (' in said
    server.files['/c/Toy.zip'] = good
    assert is_toy(get_ucr('Toy', path=tmp_path, url=[server.url+o for o in ('/a','/b','/c')]))

def test_broken_bodies(server, tmp_path):
    for i,(send,words) in enumerate([
        (lambda h: server.send(h, good[:100], length=len(good)),
            f'url: expected {len(good)} bytes, got 100'),
        (lambda h: server.send(h, good[:100], length=False), 'File is not a zip file'),
        (lambda h: server.send(h, b''), 'File is not a zip file'),
        (lambda h: server.send(h, b'<html>moved</html>'), 'File is not a zip file'),
        (lambda h: (h.send_response(200), h.send_header('Transfer-Encoding','chunked'),
            h.end_headers(), h.wfile.write(b'40\r\nabc')), 'IncompleteRead'),
        (lambda h: h.send_error(503), 'HTTP Error 503'),
        (lambda h: h.wfile.write(b'nonsense\r\n\r\n'), 'nonsense'),
        (lambda h: h.connection.close(), ''),
        (lambda h: server.send(h, good[:200]+bytes([good[200]^1])+good[201:]), '')]):
        server.odd[f'/{i}.zip'] = send
        refused(tmp_path, words, url=f'{server.url}/{i}.zip')

def test_nobody_there(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    s = Server()
    s.close()
    refused(tmp_path, 'Connection refused', url=s.url)

def test_sha256(server, tmp_path):
    server.files['/Toy.zip'] = good
    said = refused(tmp_path, 'sha256: expected 0000000000000..., got', url=server.url, sha256='0'*64)
    assert hashlib.sha256(good).hexdigest() in said

def entry(name, mode):
    i = zipfile.ZipInfo(name)
    i.external_attr = mode<<16
    i.create_system = 3
    return i

@pytest.mark.parametrize('extra,words', [
    (('../evil.txt','x'), 'got one that climbs out'), (('a/../../evil','x'), 'climbs out'),
        (('/etc/evil','x'), 'climbs out'),
    (('..\\evil','x'), 'climbs out'), (('C:\\evil','x'), 'climbs out'),
        (('C:evil','x'), 'climbs out'), (('\\\\host\\evil','x'), 'climbs out'),
            (('a/..','x'), 'climbs out'), (('../','') , 'climbs out'),
    ((entry('link', stat.S_IFLNK|0o777), '/etc/passwd'), 'got a link or a device'),
        ((entry('fifo', stat.S_IFIFO|0o644), ''), 'got a link or a device'),
    (('sub/Toy_TRAIN.ts', train), 'archive: expected each file once')])
def test_hostile_archives(server, tmp_path, extra, words):
    server.files['/Toy.zip'] = make_zip([*pair.items(), extra])
    inner = tmp_path/'a'/'b'
    inner.mkdir(parents=True)
    refused(inner, words, url=server.url)
    assert sorted(p.name for p in tmp_path.rglob('*'))==['a','b']

def test_link_in_place_of_the_data(server, tmp_path):
    (tmp_path/'secret').write_text(train)
    link = entry('Toy_TRAIN.ts', stat.S_IFLNK|0o777)
    server.files['/Toy.zip'] = make_zip([(link, '../../secret'), ('Toy_TEST.ts', test)])
    (tmp_path/'data').mkdir()
    refused(tmp_path/'data', 'got a link', url=server.url)

def test_names_with_dots_are_fine(server, tmp_path):
    server.files['/Toy.zip'] = make_zip({**pair, 'a..b/..c.txt': 'x', 'docs/': ''})
    assert is_toy(get_ucr('Toy', path=tmp_path, url=server.url))

def test_bombs(server, tmp_path):
    bomb = make_zip({**pair, 'Toy_TRAIN.ts': train+'#'*5_000_000})
    assert len(bomb)<20_000
    server.files['/Toy.zip'] = bomb
    refused(tmp_path, 'max_size: expected at most 1,000,000 bytes, got 5,000,', url=server.url, max_size=1_000_000)
    server.files['/Toy.zip'] = make_zip({'pad': random.Random(0).randbytes(50_000), **pair})
    refused(tmp_path, 'max_size: expected at most 20,000 bytes, got more', url=server.url, max_size=20_000)
    # the archive states a wrong size: 400 bytes in place of 5 million
    real = len(train)+5_000_000
    assert bomb.count(real.to_bytes(4,'little'))==2
    server.files['/Toy.zip'] = bomb.replace(real.to_bytes(4,'little'), (400).to_bytes(4,'little'))
    refused(tmp_path, '', url=server.url, max_size=1_000_000)
    def forever(h):
        h.send_response(200)
        h.end_headers()
        try:
            while True: h.wfile.write(b'0'*100_000)
        except OSError: pass
    server.odd['/Toy.zip'] = forever
    refused(tmp_path, 'max_size: expected at most 1,000,000 bytes, got more', url=server.url, max_size=1_000_000)

def drip(first, byte, every=.02):
    "Sends `first`, then a byte again and again"
    def send(h):
        try:
            h.wfile.write(first)
            while True:
                h.wfile.write(byte)
                h.wfile.flush()
                time.sleep(every)
        except OSError: pass
    return send

@pytest.mark.parametrize('first', [b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nX: ', b''], ids=['body','headers','nothing'])
def test_a_server_that_never_ends(server, tmp_path, first):
    "Each read is fast enough, but all together take too long"
    server.odd['/Toy.zip'] = drip(first, b'a')
    start = time.monotonic()
    refused(tmp_path, 'max_seconds: expected the archive in that time', url=server.url, max_seconds=.3)
    assert time.monotonic()-start<20

def test_a_pair_that_cannot_be_read_is_not_kept(server, tmp_path):
    server.files['/Toy.zip'] = make_zip({**pair, 'Toy_TEST.ts': test.replace('7', 'seven')})
    refused(tmp_path, "(Toy_TEST.ts, line 7: expected a number, ? or NaN, got 'seven')", url=server.url)
    server.files['/Toy.zip'] = good # a good file
    assert is_toy(get_ucr('Toy', path=tmp_path, url=server.url))

def test_locked_and_exotic_archives(server, tmp_path):
    raw = bytearray(good)
    for at in (6, raw.index(b'PK\1\2')+8): raw[at] |= 1 # the encryption flag of the first entry
    server.files['/Toy.zip'] = bytes(raw)
    refused(tmp_path, 'encrypted', url=server.url)
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w', zipfile.ZIP_LZMA) as z:
        for k,v in pair.items(): z.writestr(k, v)
    server.files['/Toy.zip'] = b.getvalue()
    refused(tmp_path, 'expected one packed with deflate', url=server.url)
    server.files['/Toy.zip'] = make_zip({'Toy_TRAIN.ts': train, 'Other_TEST.ts': test})
    refused(tmp_path, "archive: expected the training and the test file of 'Toy'", url=server.url)

flips = st.lists(st.tuples(st.integers(0,len(good)-1), st.integers(0,255)), min_size=1, max_size=6)
@searched(flips, quick=40, long=300)
def test_damaged_archives_raise_one_kind_of_error(flips):
    raw = bytearray(good)
    for i,b in flips: raw[i] = b
    d = Path(tempfile.mkdtemp())
    (d/'z').write_bytes(bytes(raw))
    try: sets._extract_pair(d/'z', 'Toy', d, 10_000)
    except sets._failures: pass
    shutil.rmtree(d)

def test_redirects(server, tmp_path):
    def to(url): return lambda h: server.send(h, b'', 302, Location=url)
    server.files['/real.zip'] = good
    server.odd.update({'/ok.zip': to('/real.zip'), '/ftp.zip': to('ftp://127.0.0.1/x'),
        '/file.zip': to('file:///etc/passwd'), '/plain.zip': to('http://example.org/x.zip'),
        '/loop.zip': to('/loop.zip')})
    plain = "an address that starts with https://, got 'http://example.org/x.zip'"
    for name,words in dict(ftp='ftp://', file='file:///', plain=plain, loop='infinite loop').items():
        refused(tmp_path, words, url=f'{server.url}/{name}.zip')
    assert is_toy(get_ucr('Toy', path=tmp_path, url=server.url+'/ok.zip'))
    with pytest.raises(ValueError, match='url: expected a redirect to https://'):
        sets._Redirect().redirect_request(Request('https://example.org/a'), None, 302, '', {}, 'http://127.0.0.1/b')

@pytest.mark.parametrize('url', ['http://example.org', 'ftp://example.org', 'file:///tmp',
        'example.org', '//example.org', 'http://127.0.0.1.example.org',
            'http://127.0.0.1@example.org', 'HTTP://example.org', ''])
def test_addresses(tmp_path, url):
    with pytest.raises(OSError, match='an address that starts with https://'):
        get_ucr('Toy', path=tmp_path, url=url)

@pytest.mark.parametrize('name', ['../Toy', 'a/b', 'a\\b', '', '.', 'Toy\n', None, 'a b',
        'Toy.zip'])
def test_names(tmp_path, name):
    with pytest.raises(ValueError, match='name: expected a data set'): get_ucr(name, path=tmp_path)

tsv = {'TRAIN': 'up\t1\t2\t3\ndown\t4\t5\t6\n', 'TEST': 'down\t7\t8\t9\n'}
@pytest.mark.parametrize('layout', ['Toy/Toy_{}.ts', 'Toy_{}.ts', 'Toy/Toy_{}.tsv', 'Toy_{}.tsv',
        'Toy_{}.txt'])
def test_layouts(tmp_path, layout):
    (tmp_path/'Toy').mkdir()
    for part,text in dict(TRAIN=train, TEST=test).items():
        p = tmp_path/layout.format(part)
        p.write_text(text if p.suffix=='.ts' else tsv[part])
    assert is_toy(get_ucr('Toy', path=str(tmp_path), url='https://example.invalid'))

def test_half_a_set(tmp_path):
    (tmp_path/'Toy_TRAIN.ts').write_text(train)
    (tmp_path/'Toy_TEST.tsv').write_text(tsv['TEST'])
    with pytest.raises(FileNotFoundError, match='path: expected Toy_TEST.ts beside Toy_TRAIN.ts'):
        get_ucr('Toy', path=tmp_path)

def test_something_in_the_way(server, tmp_path):
    server.files['/Toy.zip'] = good
    (tmp_path/'Toy').mkdir()
    assert is_toy(get_ucr('Toy', path=tmp_path, url=server.url)), 'an empty folder is not in the way'
    (tmp_path/'Toy'/'Toy_TRAIN.ts').rename(tmp_path/'Toy'/'mine')
    (tmp_path/'Toy'/'Toy_TEST.ts').unlink()
    with pytest.raises(FileExistsError, match="path: expected the training and the test file of 'Toy' in"):
        get_ucr('Toy', path=tmp_path, url=server.url)

def test_two_at_once(server, tmp_path):
    barrier, res = threading.Barrier(2), []
    def slow(h):
        barrier.wait(10)
        server.send(h, good)
    server.odd['/Toy.zip'] = slow
    ts = [threading.Thread(target=lambda: res.append(get_ucr('Toy', path=tmp_path, url=server.url))) for _ in range(2)]
    for t in ts: t.start()
    for t in ts: t.join()
    assert len(res)==2 and all(map(is_toy, res))
    assert [p.name for p in tmp_path.iterdir()]==['Toy']

@pytest.mark.parametrize('change,words', [
    ((test, ts.replace('@classLabel true up down','@targetLabel true')+'7,8,9:1.5\n'),
        'expected targets like those'),
    ((test, ts.replace('true up down','false')+'7,8,9\n'),
        'expected a target for each series, got none'),
    ((test, ts.replace('univariate true','univariate false')+'7,8,9:1,2,3:up\n'),
        "expected 1 channel as in 'Toy_TRAIN.ts', got 2")])
def test_parts_that_do_not_fit(tmp_path, change, words):
    (tmp_path/'Toy_TRAIN.ts').write_text(train)
    (tmp_path/'Toy_TEST.ts').write_text(test.replace(*change))
    with pytest.raises(ValueError, match=words): get_ucr('Toy', path=tmp_path)

def test_lengths_differ_between_parts(tmp_path):
    (tmp_path/'Toy_TRAIN.ts').write_text(train)
    (tmp_path/'Toy_TEST.ts').write_text(ts+'7,8,9,10:up\n')
    X,y,splits = get_ucr('Toy', path=tmp_path)
    assert [x.tolist() for x in X]==[[[1,2,3]],[[4,5,6]],[[7,8,9,10]]]

@pytest.mark.parametrize('name,n,m,c,length',
        [('GunPoint',50,150,1,150), ('ItalyPowerDemand',67,1029,1,24), ('BasicMotions',40,40,6,100),
            ('JapaneseVowels',270,370,12,None), ('Covid3Month',140,61,1,84)])
def test_aeon_wheel(tmp_path, name, n, m, c, length):
    "The sizes stated by the archive, and the last series as in the last line of the file"
    X,y,splits = get_ucr(name, path=tmp_path, url='https://example.invalid')
    assert [len(s) for s in splits]==[n,m] and len(X)==len(y)==n+m
    assert {x.shape[0] for x in X}=={c} and (isinstance(X, list) if length is None else X.shape[2]==length)
    *chans, label = (wheel/name/f'{name}_TEST.ts').read_text().strip().splitlines()[-1].split(':')
    last = np.array([[float(v) for v in ch.split(',')] for ch in chans], dtype=np.float32)
    np.testing.assert_array_equal(X[-1], last)
    assert y[-1]==(float(label) if name=='Covid3Month' else label)

def test_aeon_is_not_imported():
    code = ("import sys; from xceptiontime.data.sets import get_ucr; get_ucr('GunPoint')\n"
        "print(*{m.split('.')[0] for m in sys.modules})")
    got = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(got) & {'aeon','numba','torch','fastai','pandas','scipy'}

def test_without_aeon(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, 'find_spec', lambda name: None)
    with pytest.raises(OSError,
            match=r"^url: expected 'GunPoint', got https://nowhere.invalid/GunPoint.zip \(.*\); "
                'some sets come with aeon: pip install aeon$'):
        monkeypatch.setenv('no_proxy', '*')
        get_ucr('GunPoint', path=tmp_path, url='https://nowhere.invalid')
