"""Push models to a Hub, pull them and print the results as JSON; test_hub.py runs it: hub_script.py PART FOLDER
PART is `online`, with the Hub of the test, or `offline`, with only the cache that `online` left"""
import json, sys, urllib.request
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
import numpy as np
from xceptiontime.runtime import Predictor, model_folder

def pull(first, revisions):
    "Facts and predictions of the model on the Hub at some revisions, and the files of its folder"
    expected = np.load(first/'expected.npz')
    said = []
    for revision in (None,*revisions):
        p = Predictor.from_pretrained('user/model', revision=revision)
        diff = np.abs(p.predict_proba(expected['classes/X'])-expected['classes/answers']).max()
        said.append((p.rate, bool(diff<1e-6)))
    folder = model_folder('user/model')
    return said, sorted(f.name for f in folder.iterdir()), (folder/'config.json').is_symlink()

def refusals():
    "The errors for names of no model"
    said = []
    names = ('user/none',None), ('user/model','v9'), ('no_such_folder',None), ('user/model/x','v1')
    for name,revision in names:
        try: Predictor.from_pretrained(name, revision=revision)
        except (FileNotFoundError, ValueError) as e: said.append(f'{type(e).__name__} {e}')
    return said

def push(first, endpoint):
    p = Predictor.from_pretrained(first/'classes')
    p.rate = 200.
    addresses = [p.push_to_hub('user/model'), p.push_to_hub('user/model', message='again')]
    urllib.request.urlopen(f'{endpoint}/test/somebody-commits', b'') # the test commits in between
    Predictor.from_pretrained(first/'labels').push_to_hub('user/kept')
    return addresses, [m for m in ('fastai','pandas','matplotlib') if m in sys.modules]

def learner():
    from xceptiontime.data.loaders import TSDataLoaders
    from xceptiontime.train.learner import ts_learner
    X = np.random.default_rng(0).normal(size=(20,2,20))
    splits = range(14),range(14,20)
    dls = TSDataLoaders.from_arrays(X, np.arange(20)%2, splits, channels=['left','right'], device='cpu')
    learn = ts_learner(dls, nf=1, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    learn.push_to_hub('user/hands', private=True)
    with redirect_stdout(StringIO()) as out: again = ts_learner(dls, pretrained='user/hands')
    return out.getvalue().strip(), again.get_X_preds(X)[0].equal(learn.get_X_preds(X)[0])

def cached(first, name):
    "Is the model in the cache made by hand the model of the fixture?"
    expected = np.load(first/'expected.npz')
    p = Predictor.from_pretrained(name)
    return np.allclose(p.predict(expected['numbers/X']), expected['numbers/predict'], rtol=1e-5)

if __name__=='__main__':
    part,first,endpoint,*revisions = sys.argv[1:]
    first,said = Path(first),{}
    if part=='online': said['push'] = push(first, endpoint)
    said['pull'] = pull(first, revisions)
    said['refusals'] = refusals()
    if part=='online': said['learner'] = learner()
    else: said['cached'] = [cached(first, name) for name in ('user/links','user/files')]
    print(json.dumps(said))
