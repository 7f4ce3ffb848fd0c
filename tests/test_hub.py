"Models on the Hugging Face Hub, without it: its cache on disk, and a server on this machine that keeps one repository"
import base64, hashlib, json, os, re, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import numpy as np, pytest
from xceptiontime.cli import main
from xceptiontime.runtime import Predictor
from xceptiontime.runtime.hub import model_card

first = Path(__file__).parent/'fixtures'/'format1'

class Hub:
    "What `huggingface_hub` asks a server: repositories, files of a revision, commits of files in base64"
    def __init__(self):
        self.commits,self.asked,self.repos = [],[],set() # each commit: name -> bytes
        hub = self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def log_message(self, *args): pass
            def reply(self, data=b'', code=200, **headers):
                data = data if isinstance(data, bytes) else json.dumps(data).encode()
                self.send_response(code)
                for k,v in {'Content-Length': str(len(data)), **{k.replace('_', '-'): v for k,v in headers.items()}}.items(): self.send_header(k, v)
                self.end_headers()
                if self.command!='HEAD': self.wfile.write(data)
            def do_GET(self): hub.get(self)
            do_HEAD = do_GET
            def do_POST(self): hub.post(self, self.rfile.read(int(self.headers.get('Content-Length') or 0)))
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sha(self, i): return f'{i:040x}'
    def at(self, revision):
        n = len(self.commits)
        return n if revision=='main' else next((i for i in range(1, n+1) if self.sha(i)==revision or revision==f'v{i}'), None)

    def get(self, h):
        path = h.path.split('?')[0]
        self.asked.append((h.command, path))
        missing = lambda kind: h.reply({'error':'not found'}, 404, X_Error_Code=kind)
        m = re.fullmatch(r'/api/models/([^/]+/[^/]+)(?:/(?:revision|tree)/([^/]+))?', path) or re.fullmatch(r'/([^/]+/[^/]+)/resolve/([^/]+)/(.+)', path)
        if m is None: return missing('EntryNotFound')
        if m[1] not in self.repos: return missing('RepoNotFound')
        i = self.at(m[2] or 'main')
        if i is None: return missing('RevisionNotFound')
        files = self.commits[i-1] if i else {}
        if '/tree/' in path:
            return h.reply([dict(type='file', path=n, size=len(d), oid=hashlib.sha1(d).hexdigest()) for n,d in files.items()], Content_Type='application/json')
        if path.startswith('/api'):
            return h.reply(dict(id=m[1], modelId=m[1], sha=self.sha(i), private=False, tags=[], downloads=0, likes=0, siblings=[dict(rfilename=n, size=len(d)) for n,d in files.items()]), Content_Type='application/json')
        if m[3] not in files: return missing('EntryNotFound')
        data = files[m[3]]
        h.reply(data, X_Repo_Commit=self.sha(i), ETag=f'"{hashlib.sha1(data).hexdigest()}"')

    def post(self, h, data):
        path = h.path.split('?')[0]
        self.asked.append((h.command, path))
        if path=='/api/repos/create':
            o = json.loads(data)
            repo = f"{o.get('organization') or 'user'}/{o['name']}"
            there = repo in self.repos
            self.repos.add(repo)
            return h.reply({'url':f'{self.url}/{repo}'}, 409 if there else 200, Content_Type='application/json')
        if path.endswith('/preupload/main'):
            return h.reply(dict(files=[dict(path=f['path'], uploadMode='regular', shouldIgnore=False) for f in json.loads(data)['files']]), Content_Type='application/json')
        if '/commit/' in path:
            files = dict(self.commits[-1]) if self.commits else {}
            for line in data.splitlines():
                o = json.loads(line)
                if o['key']=='file': files[o['value']['path']] = base64.b64decode(o['value']['content'])
            self.commits.append(files)
            n = len(self.commits)
            return h.reply(dict(commitUrl=f'{self.url}/user/model/commit/{self.sha(n)}', commitOid=self.sha(n)), Content_Type='application/json')
        if path=='/api/validate-yaml': return h.reply(dict(errors=[], warnings=[]), Content_Type='application/json')
        h.reply({'error':f'no {path}'}, 404)

def run(code, home, hub=None, **env):
    "Python in a process of its own, whose Hub is on this machine or nowhere"
    env = {**os.environ, 'HF_HOME':str(home), 'HF_HUB_DISABLE_TELEMETRY':'1', 'HF_HUB_DISABLE_XET':'1', 'HF_HUB_DISABLE_PROGRESS_BARS':'1', 'no_proxy':'127.0.0.1', **env}
    env |= {'HF_ENDPOINT':hub.url, 'HF_TOKEN':'hf_made_up'} if hub else {'HF_HUB_OFFLINE':'1'}
    env.pop('HF_HUB_CACHE', None) if 'HF_HUB_CACHE' not in env else None
    res = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, env=env, timeout=120)
    assert res.returncode==0, res.stderr[-3000:]
    return res.stdout.splitlines()

def test_there_and_back(tmp_path):
    hub = Hub()
    push = f'''
from xceptiontime.runtime import Predictor
p = Predictor.from_pretrained({str(first/'classes')!r})
p.rate = 200.
print(p.push_to_hub('user/model'))
print(p.push_to_hub('user/model', message='again'))
import sys; print([m for m in ('fastai','pandas','matplotlib') if m in sys.modules])
'''
    out = run(push, tmp_path/'a', hub)
    assert out==[f'{hub.url}/user/model/commit/{hub.sha(1)}', f'{hub.url}/user/model/commit/{hub.sha(2)}', '[]']
    files = hub.commits[0]
    assert set(files)=={'config.json','model.safetensors','README.md'}
    assert files['model.safetensors']==(first/'classes'/'model.safetensors').read_bytes() and json.loads(files['config.json'])['rate']==200
    card = files['README.md'].decode()
    for words in ('library_name: xceptiontime', 'fist, naïve, rest', "Predictor.from_pretrained('user/model')", '200 Hz', '2 channels'): assert words in card, words

    hub.commits.append({**hub.commits[-1], 'config.json': json.dumps({**json.loads(hub.commits[-1]['config.json']), 'rate':100.}).encode(), 'pickle.pkl': b'x', 'train.py': b'x'})
    pull = f"""
import numpy as np
from xceptiontime.runtime import Predictor, model_folder
expected = np.load({str(first/'expected.npz')!r})
for revision in (None, 'v1', {hub.sha(2)!r}):
    p = Predictor.from_pretrained('user/model', revision=revision)
    print(p.rate, np.abs(p.predict_proba(expected['classes/X'])-expected['classes/answers']).max()<1e-6)
folder = model_folder('user/model')
print(sorted(f.name for f in folder.iterdir()), (folder/'config.json').is_symlink())
"""
    assert run(pull, tmp_path/'b', hub)==['100.0 True', '200.0 True', '200.0 True', "['config.json', 'model.safetensors'] True"] # what could run is not even downloaded
    asked = len(hub.asked)
    offline = run(pull, tmp_path/'b') # the cache it left is enough
    assert offline==['100.0 True', '200.0 True', '200.0 True', "['config.json', 'model.safetensors'] True"] and len(hub.asked)==asked
    told = f"""
from xceptiontime.runtime import Predictor
for name,revision in (('user/none',None), ('user/model','v9'), ('no_such_folder',None), ('user/model/x','v1')):
    try: Predictor.from_pretrained(name, revision=revision)
    except (FileNotFoundError, ValueError) as e: print(type(e).__name__, e)
"""
    for lines in (run(told, tmp_path/'b', hub), run(told, tmp_path/'b')):
        assert len(lines)==4
        assert lines[0].startswith('FileNotFoundError folder: expected a model folder or a model on the Hugging Face Hub, got user/none, which is no folder here')
        assert lines[1].startswith('FileNotFoundError folder: expected a model folder or a model on the Hugging Face Hub, got user/model')
        assert lines[2]=='FileNotFoundError folder: expected a model folder, got no_such_folder, which is none'
        assert lines[3].startswith('ValueError revision: expected one with the name of a model on the Hugging Face Hub')

def test_card_is_kept(tmp_path):
    "A README that somebody wrote is not written over"
    hub = Hub()
    hub.repos.add('user/model')
    hub.commits.append({'README.md': b'mine'})
    run(f"from xceptiontime.runtime import Predictor; Predictor.from_pretrained({str(first/'labels')!r}).push_to_hub('user/model')", tmp_path, hub)
    assert hub.commits[-1]['README.md']==b'mine' and 'config.json' in hub.commits[-1]

def test_learner_pushes(tmp_path):
    hub = Hub()
    code = """
import numpy as np
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.train.learner import ts_learner
X = np.random.default_rng(0).normal(size=(20,2,20))
learn = ts_learner(TSDataLoaders.from_arrays(X, np.arange(20)%2, (range(14),range(14,20)), channels=['left','right'], device='cpu'), nf=1, seed=0)
with learn.no_bar(), learn.no_logging(): learn.fit(1)
learn.push_to_hub('user/hands', private=True)
again = ts_learner(learn.dls, pretrained='user/hands')
print(again.get_X_preds(X)[0].equal(learn.get_X_preds(X)[0]))
"""
    out = run(code, tmp_path, hub)
    assert out==['pretrained: user/hands for the same 2 classes; its weights and its statistics of preprocessing go on', 'True']
    card = hub.commits[0]['README.md'].decode()
    for words in ('1 epochs, 14 series, 20 steps, seed 0', 'left, right', 'on other data is not known'): assert words in card

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
        (snapshot/f).symlink_to(f'../../blobs/blob-{f}') if links else (snapshot/f).write_bytes(data)
    return snapshot

@pytest.mark.parametrize('links', [True,False]) # Windows may have no links
def test_cache_layout(tmp_path, links):
    cached(tmp_path, links=links)
    code = f"""
import numpy as np
from xceptiontime.runtime import Predictor
expected = np.load({str(first/'expected.npz')!r})
p = Predictor.from_pretrained('user/model')
print(np.allclose(p.predict(expected['numbers/X']), expected['numbers/predict'], rtol=1e-5))
"""
    assert run(code, tmp_path)==['True']

def test_snapshot_folder_opens_by_itself(tmp_path):
    snapshot = cached(tmp_path)
    Predictor.from_pretrained(snapshot)
    secret = tmp_path/'secret.json'
    secret.write_bytes((snapshot/'config.json').read_bytes())
    (snapshot/'config.json').unlink(); (snapshot/'config.json').symlink_to(secret)
    with pytest.raises(ValueError, match='expected config.json itself in the model folder'): Predictor.from_pretrained(snapshot)

def test_a_folder_here_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    Predictor.from_pretrained(first/'numbers').save_pretrained('user/model')
    Predictor.from_pretrained('user/model')

def test_without_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for f in (lambda: Predictor.from_pretrained('user/model'), lambda: Predictor.from_pretrained(first/'numbers').push_to_hub('user/model')):
        with pytest.raises(ImportError, match=r"huggingface_hub is needed for models on the Hugging Face Hub: pip install 'xceptiontime\[hub\]'"): f()
    with pytest.raises(FileNotFoundError): Predictor.from_pretrained(Path('user/model')) # a path is a path
    assert main(['info', 'user/model'])==2 and "pip install 'xceptiontime[hub]'" in capsys.readouterr().err

def test_card_is_safe():
    "Labels do not leave their cell"
    from xceptiontime.models.xceptiontime import XceptionTime
    from xceptiontime.processing.preprocess import Preprocess
    from xceptiontime.processing.tasks import Classification
    p = Predictor(XceptionTime(1, 2, nf=1), Classification(['a|b\n# title','<script>']), Preprocess().fit(np.random.default_rng(0).normal(size=(9,1,20)).astype(np.float32)))
    row = next(l for l in model_card(p, 'user/model').splitlines() if l.startswith('| classes'))
    assert row=='| classes | a&#124;b # title, &lt;script&gt; |'
