"Plots for a publication: titles, axes in seconds, names of channels, units, legends, arguments of matplotlib"
import matplotlib, numpy as np, pytest
import matplotlib.pyplot as plt
from small import X, classes, learner, ragged, splits
from xceptiontime.bench.group_results import GroupResults
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.pictures import channel_colors, draw_series
from xceptiontime.data.recordings import Recordings
from xceptiontime.data.windows import sliding_windows
from xceptiontime.explain.attribution import attribute, plot_attribution
from xceptiontime.explain.confusion import confusion_axes, draw_confusion
from xceptiontime.explain.importance import permutation_importance, plot_importance
from xceptiontime.explain.plots import plot_confusion_matrix, plot_embedding, plot_top_losses
from xceptiontime.processing.tasks import Classification
from xceptiontime.cli.report import picture
from xceptiontime.train.learner import ts_learner

pytestmark = pytest.mark.usefixtures('closed')
words = np.array(['rest','fist','pinch'])[classes]
NAMES = ['flexor','extensor']

def trained(data=X, y=words, **kwargs): return learner(data, y, **{**dict(rate=20, channels=NAMES), **kwargs})

def legend(o): return [t.get_text() for t in o.get_texts()]

def grid():
    "The axes of the newest figure that are not empty, and the texts of its legends"
    fig = plt.gcf()
    return [ax for ax in fig.axes if ax.axison],[legend(l) for l in fig.legends]

@pytest.fixture(scope='module')
def named(): return trained()

def draws(learn):
    "Each function that draws series in a new grid"
    return [lambda **kw: learn.dls.valid.show_batch(max_n=4, **kw), lambda **kw: learn.show_results(max_n=4, **kw),
            lambda **kw: plot_top_losses(learn, k=4, **kw)]

@pytest.mark.parametrize('i', range(3), ids=['batch','results','losses'])
def test_grids_of_series(named, i):
    "Seconds at the bottom, one legend of names, and arguments of matplotlib"
    draws(named)[i](figsize=(7,4), lw=2, alpha=.5)
    axs,legends = grid()
    assert [ax.get_xlabel() for ax in axs]==['','','time [s]','time [s]'] and legends==[NAMES]
    assert {ax.get_xlim() for ax in axs}=={(0,39/20)}
    line = axs[0].lines[1]
    assert (line.get_lw(),line.get_alpha())==(2,.5)
    assert tuple(line.get_color())==tuple(channel_colors(2)[1])
    assert axs[0].figure.get_size_inches().tolist()==[7,4]
    for ax in axs:
        title = ax.get_title().split('\n')
        if i==0: assert title[0] in words
        else: assert title[0].removeprefix('true ') in words and title[1].removeprefix('predicted ') in words

@pytest.mark.parametrize('i', range(3), ids=['batch','results','losses'])
def test_axes_of_ones_own(named, i):
    "Another, newer figure stays empty; a single colour needs no legend"
    fig,own = plt.subplots(2, 2)
    other,_ = plt.subplots()
    draws(named)[i](**{'ax' if i==2 else 'ctxs': own.ravel()}, color='k')
    assert not plt.gcf().axes[0].lines and plt.gcf() is other and not other.legends
    assert all(len(ax.lines)==2 for ax in own.ravel())
    assert not fig.legends
    assert own[0,0].get_legend() is None
    assert own[0,0].get_xlabel()=='time [s]'

def test_steps_and_numbers_where_nothing_is_known():
    draws(trained(rate=None, channels=None))[0]()
    axs,legends = grid()
    assert axs[-1].get_xlabel()=='step' and axs[-1].get_xlim()==(0,39) and legends==[['0','1']]

def test_rate_of_resampled_series():
    draws(trained(resample=80))[0]()
    assert plt.gcf().axes[0].get_xlim()==(0, 79/40)
    draws(trained(ragged, resample=80))[0]()
    assert grid()[0][-1].get_xlabel()=='step' # each has its own rate
    draws(trained(ragged, resample=80))[2]()
    assert grid()[0][-1].get_xlabel()=='time [s]' # raw again

@pytest.mark.parametrize('units,names,left', [(['mV','mV'],NAMES,'mV'), (['mV','g'],['flexor [mV]','extensor [g]'],''),
                                              (None,NAMES,'')])
def test_units_of_recordings(units, names, left):
    recs = Recordings([x.repeat(3, 1) for x in X[:6]], list('abcabc'), None, NAMES,
                      list('uvwxyz'), 20., units)
    assert sliding_windows(recs, 20, lazy=True)[0].units==units
    dls = TSDataLoaders.from_recordings(recs, length=20, splits=dict(valid_size=.5, seed=0),
                                        device='cpu')
    dls.show_batch(max_n=4)
    axs,legends = grid()
    assert legends==[names] and axs[0].get_ylabel()==left and axs[0].get_xlim()==(0,.95)

def test_many_channels_and_one():
    many = [np.zeros((60,30)), np.ones((60,30))]
    axs = draw_series(many, channels=[f'c{i}' for i in range(60)])
    fig = axs[0].figure
    assert not fig.legends and fig.axes[-1].get_ylabel()=='channel'
    assert legend_like(fig.axes[-1])==['c0','c8','c17','c25','c34','c42','c51','c59']
    one, = draw_series([X[0,:1]], channels=['flexor'], units='mV')
    assert one.get_ylabel()=='flexor [mV]' and not one.figure.legends

def legend_like(ax): return [t.get_text() for t in ax.get_yticklabels()]

def test_attribution(named):
    a = attribute(named, X[:3], 'occlusion', target=['fist','rest','rest'])
    axs = plot_attribution(X[:3], a, model=named, target=['fist','rest','rest'], ncols=3,
                           figsize=(9,3), alpha=.5)
    probs = named.predictor().predict_proba(X[:3])
    vocab = named.dls.vocab.tolist()
    want = [f'attribution for {w}\nprobability {p[vocab.index(w)]:.3g}' for w,p in zip(('fist','rest','rest'), probs)]
    assert [ax.get_title() for ax in axs]==want
    assert {ax.get_xlabel() for ax in axs}=={'time [s]'} and axs[0].get_xlim()==(0,39/20)
    assert legend_like(axs[0])==NAMES and axs[0].get_ylabel()=='channel'
    bar, = axs[0].figure.axes[3:]
    assert bar.get_ylabel().startswith('size of the attribution') and bar.get_ylim()==(0,1)
    assert axs[0].collections[0].get_alpha()==.5 and axs[0].figure.get_size_inches().tolist()==[9,3]
    plain = plot_attribution(X[:1], a[:1], colorbar=False, titles=['mine'], names=list('ab'),
                             rate=10, cmap='gray')
    assert (plain[0].get_title(),plain[0].get_xlim(),len(plain[0].figure.axes))==('mine',(0,3.9),1)
    assert plain[0].collections[0].get_cmap().name=='gray' and legend_like(plain[0])==['a','b']
    bare, = plot_attribution(X[:1], a[:1])
    assert bare.get_xlabel()=='step' and bare.get_xlim()==(0,39) and legend_like(bare)==['0','1']

def test_attribution_of_its_answer(named):
    axs = plot_attribution(X[:2], np.ones_like(X[:2]), model=named.predictor())
    answers = named.predictor().predict(X[:2])
    assert [ax.get_title().split('\n')[0] for ax in axs]==[f'attribution for {o}' for o in answers]
    angle = trained(y=X.mean((1,2)), target_names=['angle'], units=['°'])
    ax, = plot_attribution(X[:1], X[:1], model=angle)
    assert ax.get_title()==f'attribution for angle [°]\npredicted {angle.predictor().predict(X[:1])[0]:.3g}'

def test_confusion_of_a_learner(named):
    ax = plot_confusion_matrix(named, figsize=(4,4), normalize=True, values_format='.0%',
                               colorbar=True, cmap='gray')
    right = (named.predictor().predict(X[splits[1]])==words[splits[1]]).mean()
    assert ' '.join(ax.get_title().split())==f'accuracy {right:.3f} on 12 series'
    assert ax.texts[0].get_text().endswith('%') and ax.images[0].get_cmap().name=='gray'
    assert ax.figure.axes[1].get_ylabel()=='share of the true class'
    assert ax.figure.get_size_inches().tolist()==[4,4]
    assert [t.get_text() for t in ax.get_xticklabels()]==['fist','pinch','rest']
    own = plt.subplots()[1]
    plt.figure()
    assert plot_confusion_matrix(named, ax=own, title='mine') is own
    assert own.get_title()=='mine'
    assert not plt.gcf().axes

def test_confusion_of_groups():
    probs = np.eye(3)[np.roll(classes, 1)]
    res = GroupResults(Classification(['x','y','z']), np.array(['x','y','z'])[classes], probs,
                       np.arange(24)%4)
    ax = res.plot_confusion_matrix()
    assert [int(t.get_text()) for t in ax.texts]==res.confusion.to_numpy().ravel().tolist()
    assert ' '.join(ax.get_title().split())=='accuracy 0.000 on 24 windows of 4 groups'

def test_picture_of_the_command_is_on_no_screen():
    n = len(plt.get_fignums())
    _,fig = picture(Classification(['a','b','c']), ['a','b','b'], ['a','b','a'])
    assert [t.get_text() for t in fig.axes[0].texts]==['1','0','0','1','1','0','0','0','0']
    assert len(plt.get_fignums())==n

@pytest.mark.parametrize('names', [
    [f'gesture {i}' for i in range(60)], [f'a rather long activity {i}' for i in range(20)],
    ['going upstairs with a bag in hand','b'], ['a','b']], ids=['60','20','long','short'])
def test_names_do_not_overlap(names):
    assert matplotlib.get_backend().lower()=='agg'
    ax = draw_confusion(np.diag(np.full(len(names), 123)), names, confusion_axes(names))
    ax.figure.canvas.draw()
    down,across = ax.get_yticklabels(),ax.get_xticklabels()
    boxes = [l.get_window_extent() for l in down]
    assert not any(a.overlaps(b) for a,b in zip(boxes[:-1], boxes[1:]))
    boxes = [l.get_window_extent() for l in across]
    gaps = np.diff([b.x1 for b in boxes])*72/ax.figure.dpi # points
    if across[0].get_rotation()==45: assert (gaps/2**.5>1.1*across[0].get_fontsize()).all() # boxes of rotated text
    else: assert not any(a.overlaps(b) for a,b in zip(boxes[:-1], boxes[1:]))
    cell = ax.get_window_extent().width/len(names)
    for t in ax.texts: assert t.get_window_extent().width<cell

def test_importance_of_times_in_seconds(named):
    imp = permutation_importance(named, 'time', spans=4, n_repeats=2)
    assert imp.names==['0-0.5','0.5-1','1-1.5','1.5-2']
    ax = plot_importance(imp, figsize=(3,2), color='r')
    assert (ax.get_ylabel(),ax.lines[0].get_color())==('time [s]','r')
    assert ax.get_title()==f'accuracy {imp.base:.3g} with nothing shuffled'
    assert plot_importance(permutation_importance(named, n_repeats=2)).get_ylabel()=='channel'

def test_reliability(named):
    ax = named.plot_reliability(figsize=(3,3), ls=':', bins=5)
    assert (ax.get_title(),ax.get_xlabel())==('reliability of 12 claims','claimed probability')
    assert ax.lines[1].get_linestyle()==':' and ax.figure.get_size_inches().tolist()==[3,3]

def test_embedding_of_many_classes():
    y = np.repeat(np.arange(28), 4)
    data = np.random.default_rng(0).normal(size=(112,2,40)).astype(np.float32) + y[:,None,None]
    at = np.arange(112)
    dls = TSDataLoaders.from_arrays(data, y, (at[::2],at[1::2]), device='cpu')
    ax = plot_embedding(ts_learner(dls, nf=1, seed=0), s=5, figsize=(3,2))
    assert ax.get_legend() is None and ax.get_title()=='features of 56 series'
    bar = ax.figure.axes[1]
    assert bar.get_ylabel()=='class' and legend_like(bar)==['0','4','8','12','15','19','23','27']
    assert ax.collections[0].get_sizes()==[5]
