"""The results that come with the package, brought up to date from a folder of `xceptiontime bench`

    xceptiontime bench --sets Car Lightning2 --path DATA --seeds 0 1 2 3 4 --jobs 2 --out results
    python benchmarks/results.py --path DATA --out results

Trainings of one network by the default recipe replace those of the same set and seed in
`results_default.csv`. If a set has five seeds, the mean of their probabilities replaces its row in
`ensembles.csv`. Both files are in `xceptiontime/data/files`; sets that the first has not are left out.
"""
import argparse
from pathlib import Path
import pandas as pd
from xceptiontime.bench.benchmark import read_rows
from xceptiontime.bench.comparison import ensemble_scores
from xceptiontime.train.recipe import DEFAULT

FILES = Path(__file__).parent.parent/'xceptiontime'/'data'/'files'
DIGITS = dict(accuracy=4, balanced_accuracy=4, nll=4, ece=4, seconds=1)

def replaced(old, new, key):
    "The table `old` with the rows of `new`, in place of those with the same key"
    if not len(new): return old
    return pd.concat([new, old]).drop_duplicates(key).sort_values(key, ignore_index=True)

def trainings(old, rows):
    "`results_default.csv` with results of `read_rows`"
    def fits(r): return (r['arch'],r['recipe'],r['networks'])==('XceptionTime',DEFAULT,None)
    kept = old.columns.drop(['further','before'])
    new = pd.DataFrame([r for r in rows if 'error' not in r and fits(r)], columns=kept)
    new = new.merge(old[['set','further']].drop_duplicates())
    new = new.merge(old[['set','seed','before']], how='left')
    return replaced(old, new[old.columns].round(DIGITS), ['set','seed'])

def ensembles(old, scores, sets):
    "`ensembles.csv` with scores of `ensemble_scores` on `sets`"
    new = scores.reindex(columns=old.columns) # none if no set has five seeds
    ours = (new['arch']=='XceptionTime') & (new['recipe']==DEFAULT)
    return replaced(old, new[ours & new['set'].isin(sets)], ['set'])

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', required=True, help='folder of results')
    p.add_argument('--path', help='folder with the data sets; a cache if not given')
    args = p.parse_args()
    files = [FILES/'results_default.csv',FILES/'ensembles.csv']
    one,five = map(pd.read_csv, files)
    one = trainings(one, read_rows(args.out))
    five = ensembles(five, ensemble_scores(args.out, args.path), one['set'])
    one.to_csv(files[0], index=False)
    five.to_csv(files[1], index=False, float_format='%.6g')
