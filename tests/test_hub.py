"Models on the Hugging Face Hub, with its cache on disk and a local server in place of the Hub"
import base64, hashlib, json, os, re, subprocess, sys, threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np, pytest
from xceptiontime.cli import main
from xceptiontime.models.xceptiontime import XceptionTime
from xceptiontime.processing.preprocess import Preprocess
from xceptiontime.processing.tasks import Classification
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.hub import model_card

first = Path(__file__).parent/'fixtures'/'format1'
REPO = r'/([^/]+/[^/]+)'

class Request(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self): self.server.hub.get(self, self.path.split('?')[0])
    do_HEAD = do_GET
    def do_POST(self):
        data = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.server.hub.post(self, self.path.split('?')[0], data)

    def reply(self, data=b'', code=200, **headers):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
            headers['Content_Type'] = 'application/json'
        self.send_response(code)
        for k,v in dict(Content_Length=str(len(data)), **headers).items():
            self.send_header(k.replace('_', '-'), v)
        self.end_headers()
        if self.command!='HEAD': self.wfile.write(data)

    def missing(self, kind): self.reply({'error':'not found'}, 404, X_Error_Code=kind)

class Hub:
    "What `huggingface_hub` asks a server: repositories, files of a revision, commits of files in base64"
    def __init__(self, somebody_commits):
        self.repos = defaultdict(list) # the commits of each: name of a file -> bytes
        self.asked = []
        self.somebody_commits = somebody_commits
        server = ThreadingHTTPServer(('127.0.0.1', 0), Request)
        server.hub = self
        self.url = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def sha(self, i): return f'{i:040x}'
    def number(self, repo, revision):
        "The number of the commit `revision`, from 1, or None"
        n = len(self.repos[repo])
        if revision in (None,'main'): return n
        return next((i for i in range(1, n+1) if revision in (self.sha(i),f'v{i}')), None)

    def get(self, h, path):
        self.asked.append(path)
        m = re.fullmatch(f'/api/models{REPO}(?:/(?:revision|tree)/([^/]+))?', path)
        file = re.fullmatch(f'{REPO}/resolve/([^/]+)/(.+)', path)
        if m is None and file is None: return h.missing('EntryNotFound')
        repo,revision = (m or file).groups()[:2]
        if repo not in self.repos: return h.missing('RepoNotFound')
        i = self.number(repo, revision)
        if i is None: return h.missing('RevisionNotFound')
        files = self.repos[repo][i-1] if i else {}
        if file: return self.send(h, files.get(file[3]), self.sha(i))
        if '/tree/' in path:
            return h.reply([dict(type='file', path=n, size=len(d), oid=hashlib.sha1(d).hexdigest())
                            for n,d in files.items()])
        names = [dict(rfilename=n, size=len(d)) for n,d in files.items()]
        h.reply(dict(id=repo, modelId=repo, sha=self.sha(i), private=False, tags=[], downloads=0, likes=0,
                     siblings=names))

    def send(self, h, data, sha):
        if data is None: return h.missing('EntryNotFound')
        h.reply(data, X_Repo_Commit=sha, ETag=f'"{hashlib.sha1(data).hexdigest()}"')

    def post(self, h, path, data):
        if path=='/test/somebody-commits':
            self.somebody_commits(self)
            return h.reply()
        if path=='/api/validate-yaml': return h.reply(dict(errors=[], warnings=[]))
        if path=='/api/repos/create': return self.create(h, json.loads(data))
        if path.endswith('/preupload/main'):
            return h.reply(dict(files=[dict(path=f['path'], uploadMode='regular', shouldIgnore=False)
                                       for f in json.loads(data)['files']]))
        if m := re.fullmatch(f'/api/models{REPO}/commit/main', path): return self.commit(h, m[1], data)
        h.reply({'error':f'no {path}'}, 404)

    def create(self, h, o):
        repo = f"{o.get('organization') or 'user'}/{o['name']}"
        there = repo in self.repos
        self.repos[repo]
        h.reply({'url':f'{self.url}/{repo}'}, 409 if there else 200)

    def commit(self, h, repo, data):
        commits = self.repos[repo]
        files = dict(commits[-1]) if commits else {}
        for o in map(json.loads, data.splitlines()):
            if o['key']=='file': files[o['value']['path']] = base64.b64decode(o['value']['content'])
        commits.append(files)
        sha = self.sha(len(commits))
        h.reply(dict(commitUrl=f'{self.url}/{repo}/commit/{sha}', commitOid=sha))

def script(part, home, endpoint, *args, **env):
    "The output of tests/hub_script.py in a separate process, with a local Hub or none"
    quiet = dict(HF_HUB_DISABLE_TELEMETRY='1', HF_HUB_DISABLE_XET='1', HF_HUB_DISABLE_PROGRESS_BARS='1')
    env = {**os.environ, **quiet, 'HF_HOME':str(home), 'no_proxy':'127.0.0.1', **env}
    env.pop('HF_HUB_CACHE', None)
    code = Path(__file__).with_name('hub_script.py')
    command = [sys.executable, '-W', 'ignore', code, part, first, endpoint, *args]
    res = subprocess.run(command, capture_output=True, text=True, env=env, timeout=240)
    assert res.returncode==0, res.stderr[-3000:]
    return json.loads(res.stdout.splitlines()[-1])

def edited(hub):
    "Another user changes the rate of the model, adds executable files, and writes a card for another model"
    last = hub.repos['user/model'][-1]
    config = json.dumps({**json.loads(last['config.json']), 'rate':100.}).encode()
    hub.repos['user/model'].append({**last, 'config.json': config, 'pickle.pkl': b'x', 'train.py': b'x'})
    hub.repos['user/kept'].append({'README.md': b'mine'})

@pytest.fixture(scope='module')
def home(tmp_path_factory): return tmp_path_factory.mktemp('home')

@pytest.fixture(scope='module')
def online(home):
    hub = Hub(edited)
    said = script('online', home, hub.url, 'v1', hub.sha(2), HF_ENDPOINT=hub.url, HF_TOKEN='hf_made_up')
    return hub, said

@pytest.fixture(scope='module')
def offline(online, home):
    "The output with the cache of `online` and without a Hub"
    hub,_ = online
    asked = len(hub.asked)
    for name,links in (('user/links',True), ('user/files',False)): cached(home, name, links)
    said = script('offline', home, '', 'v1', hub.sha(2), HF_HUB_OFFLINE='1')
    assert len(hub.asked)==asked
    return said

@pytest.mark.slow
def test_push(online):
    hub,said = online
    addresses,heavy = said['push']
    assert addresses==[f'{hub.url}/user/model/commit/{hub.sha(i)}' for i in (1,2)]
    assert heavy==[]
    files = hub.repos['user/model'][0]
    assert set(files)=={'config.json','model.safetensors','README.md'}
    assert files['model.safetensors']==(first/'classes'/'model.safetensors').read_bytes()
    assert json.loads(files['config.json'])['rate']==200
    card = files['README.md'].decode()
    for words in ('library_name: xceptiontime', 'fist, naïve, rest', "Predictor.from_pretrained('user/model')",
                  '200 Hz', '2 channels'):
        assert words in card, words

def test_card_is_kept(online):
    "A README of another user is not overwritten"
    hub,_ = online
    files = hub.repos['user/kept'][-1]
    assert files['README.md']==b'mine' and 'config.json' in files

@pytest.mark.parametrize('where', ['online','offline'])
def test_pull(where, online, offline):
    "The newest and older revisions; executable files are not downloaded; the cache is sufficient"
    said = offline if where=='offline' else online[1]
    rates,files,linked = said['pull']
    assert rates==[[100.,True], [200.,True], [200.,True]]
    assert files==['config.json','model.safetensors'] and linked

@pytest.mark.parametrize('where', ['online','offline'])
def test_names_of_nothing(where, online, offline):
    said = (offline if where=='offline' else online[1])['refusals']
    words = 'FileNotFoundError folder: expected a model folder or a model on the Hugging Face Hub, got user'
    assert len(said)==4
    assert said[0].startswith(f'{words}/none, which is no folder here')
    assert said[1].startswith(f'{words}/model')
    assert said[2]=='FileNotFoundError folder: expected a model folder, got no_such_folder, which is not one'
    assert said[3].startswith('ValueError revision: expected one with the name of a model on the Hugging Face Hub')
    assert all(len(o)<330 for o in said)

def test_learner_pushes(online):
    hub,said = online
    text,same = said['learner']
    kept = 'its weights and its statistics of preprocessing are kept'
    assert text==f'pretrained: user/hands for the same 2 classes; {kept}'
    assert same
    card = hub.repos['user/hands'][0]['README.md'].decode()
    for words in ('1 epochs, 14 series, 20 steps, seed 0', 'left, right', 'on other data is not known'):
        assert words in card, words

def cached(home, name='user/model', links=True):
    "The cache of `huggingface_hub` as it is on disk, made by hand"
    repo = home/'hub'/f"models--{name.replace('/', '--')}"
    sha = 'a'*40
    snapshot = repo/'snapshots'/sha
    for d in (repo/'refs', repo/'blobs', snapshot): d.mkdir(parents=True)
    (repo/'refs'/'main').write_text(sha)
    for f in ('config.json','model.safetensors'):
        data = (first/'numbers'/f).read_bytes()
        (repo/'blobs'/f'blob-{f}').write_bytes(data)
        if links: (snapshot/f).symlink_to(f'../../blobs/blob-{f}')
        else: (snapshot/f).write_bytes(data) # on Windows links may be missing
    return snapshot

def test_cache_layout(offline): assert offline['cached']==[True,True] # with links and without

def test_snapshot_folder_opens_by_itself(tmp_path):
    snapshot = cached(tmp_path)
    Predictor.from_pretrained(snapshot)
    secret = tmp_path/'secret.json'
    secret.write_bytes((snapshot/'config.json').read_bytes())
    (snapshot/'config.json').unlink()
    (snapshot/'config.json').symlink_to(secret)
    with pytest.raises(ValueError, match='expected config.json itself in the model folder'):
        Predictor.from_pretrained(snapshot)

def test_a_folder_here_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    Predictor.from_pretrained(first/'numbers').save_pretrained('user/model')
    Predictor.from_pretrained('user/model')

def test_without_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    words = r"huggingface_hub: expected it to be installed, .* got none; pip install 'xceptiontime\[hub\]'"
    with pytest.raises(ImportError, match=words): Predictor.from_pretrained('user/model')
    with pytest.raises(ImportError, match=words): Predictor.from_pretrained(first/'numbers').push_to_hub('user/model')
    with pytest.raises(FileNotFoundError): Predictor.from_pretrained(Path('user/model')) # a Path is no name of a model
    assert main(['info', 'user/model'])==2 and "pip install 'xceptiontime[hub]'" in capsys.readouterr().err

def test_card_is_safe():
    "Labels cannot break the table of the card"
    X = np.random.default_rng(0).normal(size=(9,1,20)).astype(np.float32)
    p = Predictor(XceptionTime(1, 2, nf=1), Classification(['a|b\n# title','<script>']), Preprocess().fit(X))
    row = next(l for l in model_card(p, 'user/model').splitlines() if l.startswith('| classes'))
    assert row=='| classes | a&#124;b # title, &lt;script&gt; |'
