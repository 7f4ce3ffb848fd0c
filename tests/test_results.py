"benchmarks/results.py replaces the results of the same set and seed, and leaves the others as they are"
import importlib.util, io, json
from pathlib import Path
import numpy as np
import pandas as pd
from xceptiontime.bench.benchmark import read_rows
from xceptiontime.bench.comparison import ensemble_scores
from xceptiontime.data.sets import get_ucr
from xceptiontime.train.recipe import DEFAULT

file = Path(__file__).parent.parent/'benchmarks'/'results.py'
spec = importlib.util.spec_from_file_location('results', file)
results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results)
ONE,FIVE = results.FILES/'results_default.csv',results.FILES/'ensembles.csv'

def saved(folder, name, seed, accuracy, probs=(), recipe=DEFAULT, networks=None):
    "A result as `xceptiontime bench` saves it"
    unit = dict(set=name, arch='XceptionTime', recipe=recipe, settings={}, seed=seed, networks=networks)
    scores = dict(accuracy=accuracy, balanced_accuracy=.5, nll=1/3, ece=.1, seconds=12.34, epochs=50, steps=1500)
    row = {**unit, **scores, **dict(n_train=67, n_test=1029, channels=1, length=24, classes=2)}
    (folder/f'{name}.XceptionTime.{recipe}.{seed}.json').write_text(json.dumps(row))
    np.save(folder/f'{name}.XceptionTime.{recipe}.{seed}.npy', np.asarray(probs, np.float32))

def test_other_rows_stay_to_the_byte(tmp_path):
    one,five = map(pd.read_csv, (ONE, FIVE))
    saved(tmp_path, 'Unknown', 0, .1)
    saved(tmp_path, 'Coffee', 0, .1, recipe='base')
    for seed in range(5): saved(tmp_path, 'Meat', seed, .1, recipe=f'{DEFAULT}-5', networks=5)
    scores = five.head(1).assign(set='Unknown')
    one = results.trainings(one, read_rows(tmp_path))
    five = results.ensembles(five, scores, one['set'])
    assert one.to_csv(index=False)==ONE.read_text()
    assert five.to_csv(index=False, float_format='%.6g')==FIVE.read_text()

def test_no_results_and_few_seeds(tmp_path):
    one,five = map(pd.read_csv, (ONE, FIVE))
    assert results.trainings(one, read_rows(tmp_path)).to_csv(index=False)==ONE.read_text()
    saved(tmp_path, 'OSULeaf', 1, .5) # which has seed 0 alone
    assert len(results.trainings(one, read_rows(tmp_path)))==len(one)+1
    new = results.ensembles(five, ensemble_scores(tmp_path), one['set'])
    assert new.to_csv(index=False, float_format='%.6g')==FIVE.read_text()

def test_new_rows(tmp_path):
    one,five = map(pd.read_csv, (ONE, FIVE))
    one = one[(one['set']!='ItalyPowerDemand') | (one['seed']==0)].reset_index(drop=True)
    _,y,(_,test) = get_ucr('ItalyPowerDemand')
    first = (y[test]==np.unique(y)[0]).mean() # the accuracy of an answer with the first class alone
    for seed,p in enumerate((.9, .9, .9, .2, .2)): # their mean is .62
        saved(tmp_path, 'ItalyPowerDemand', seed, .123456, [[p,1-p]]*len(test))
    new = results.trainings(one, read_rows(tmp_path))
    italy = new[new['set']=='ItalyPowerDemand']
    assert len(new)==len(one)+4 and italy['seed'].tolist()==[0,1,2,3,4] and not italy['further'].any()
    rounded = italy[['accuracy','nll','seconds']].drop_duplicates()
    assert rounded.to_numpy().tolist()==[[.1235,.3333,12.3]]
    before = one.loc[one['set']=='ItalyPowerDemand','before'].tolist()
    assert italy['before'].dropna().tolist()==before
    others = pd.read_csv(io.StringIO(new[new['set']!='ItalyPowerDemand'].to_csv(index=False)))
    pd.testing.assert_frame_equal(others, one[one['set']!='ItalyPowerDemand'].reset_index(drop=True))
    new = results.ensembles(five, ensemble_scores(tmp_path), one['set']).set_index('set')
    assert len(new)==len(five) and np.isclose(new.loc['ItalyPowerDemand','accuracy'], first)
    assert np.isclose(new.loc['ItalyPowerDemand','nll'], -(first*np.log(.62)+(1-first)*np.log(.38)))
    old = five.set_index('set').drop('ItalyPowerDemand')
    pd.testing.assert_frame_equal(new.drop('ItalyPowerDemand'), old)
