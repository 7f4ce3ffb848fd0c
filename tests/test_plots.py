"Plots of each task, of series of unequal length, and of loaders other than the validation loader"
import numpy as np, pytest, torch
import matplotlib.pyplot as plt
from small import Linear, X, classes, close, learner, ragged, splits, two_labels
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.explain.importance import permutation_importance, plot_importance
from xceptiontime.explain.plots import plot_confusion_matrix, plot_embedding, plot_top_losses
from xceptiontime.train.learner import TSLearner

pytestmark = pytest.mark.usefixtures('closed')

@pytest.mark.parametrize('data,y', [(X,two_labels), (X,X.mean((1,2))), (X,classes), (ragged,two_labels),
                                    (ragged,X.mean((1,2))), (ragged,classes)])
def test_pictures(data, y):
    "Each plot of each task, on given axes, which are returned"
    learn = learner(data, y)
    fig,axs = plt.subplots(2, 2)
    axs = axs.ravel()
    assert list(plot_top_losses(learn, k=4, ax=axs))==list(axs)
    losses = learn.get_preds(with_loss=True)[2]
    shown = [ax.get_title().split('loss ')[1] for ax in axs]
    assert shown==[f'{l:.3g}' for l in losses.topk(4)[0].tolist()]
    i = splits[1][int(losses.argmax())]
    close(axs[0].lines[1].get_ydata(), data[i][1], 1e-5)
    assert len(plot_top_losses(learn, k=50, largest=False, figsize=(4,3)))==12
    _,ax = plt.subplots()
    assert plot_embedding(learn, ax=ax) is ax
    assert sum(len(c.get_offsets()) for c in ax.collections if len(c.get_offsets()))>=12
    if y is classes:
        markers = {tuple(map(tuple, c.get_paths()[0].vertices.round(3))) for c in ax.collections}
        assert len(markers)==3 # different without colour
        assert plot_confusion_matrix(learn).get_xlabel()=='Predicted label'
    else:
        with pytest.raises(TypeError, match='learn: expected a classification'): plot_confusion_matrix(learn)
    assert plot_embedding(learn, learn.dls.test_dl(list(data[:5]))) is not ax
    n = len(plt.get_fignums())
    imp = permutation_importance(learn, metric=lambda s,y: s.mean(), higher_is_better=True, n_repeats=2)
    plot_importance(imp, ax=ax)
    assert len(plt.get_fignums())==n
    fig.canvas.draw()

@pytest.mark.parametrize('how', [dict(resample=16), dict(crop=16)], ids=['resample','crop'])
@pytest.mark.parametrize('task', ['classes','labels'])
def test_pictures_of_one_length(how, task):
    "Series that are resampled for the network are drawn as they were, each with its own target"
    y = np.array(list('abc'))[classes] if task=='classes' else two_labels
    words = list(y) if task=='classes' else ['0; 1','1','(none)']*8
    learn = learner(ragged, y, **how)
    order = learn.get_preds(with_loss=True)[2].argsort(descending=True)
    for ax,i in zip(plot_top_losses(learn, 12), splits[1][order], strict=True):
        assert ax.get_title().split('\n')[0]==f'true {words[i]}'
        close(ax.lines[1].get_ydata(), ragged[i][1], 1e-5)
    legend = plot_embedding(learn).get_legend().get_texts()
    assert sorted(t.get_text() for t in legend)==sorted(set(words))

def test_how_many_losses(learn):
    assert [len(plot_top_losses(learn, *k)) for k in ((), (4,), (np.int64(2),))]==[9,4,2]
    assert len(plot_top_losses(learn, k=3))==3
    for k in (0,-1,2.5,'4'):
        with pytest.raises(ValueError, match=f'k: expected a whole number of 1 or more, got {k!r}'):
            plot_top_losses(learn, k)
    with pytest.raises(ValueError, match='ax: expected axes for 3 series, got 1'):
        plot_top_losses(learn, 3, ax=plt.subplots()[1])

def test_embedding_without_features():
    dls = TSDataLoaders.from_arrays(X[:,0], X.mean((1,2)), splits, device='cpu')
    two = learner(y=np.stack([X.mean((1,2)), X.std((1,2))], 1))
    for output in (None,2):
        with pytest.raises(ValueError, match='output: expected'): plot_embedding(two, output=output)
    with pytest.raises(TypeError, match='learn: expected a network with forward_features, got Linear'):
        plot_embedding(TSLearner(dls, Linear(1, 1)))

def test_shuffled_training_loader_is_told_in_order(learn):
    "The training loader shuffles; its plots show each series with its own target"
    Xt,yt = X[splits[0]],classes[splits[0]]
    answers = learn.predictor().predict(Xt)
    ax = plot_confusion_matrix(learn, learn.dls.train)
    got = np.array([int(t.get_text()) for t in ax.texts]).reshape(3, 3)
    want = np.zeros((3,3), int)
    np.add.at(want, (yt,answers), 1)
    np.testing.assert_array_equal(got, want)
    losses = learn.get_X_preds(Xt, yt, with_loss=True)[-1]
    ax = plot_embedding(learn, learn.dls.train)
    z = learn.dls.preprocess(torch.tensor(Xt))
    with torch.no_grad(): f = learn.model.eval().forward_features(z).double().numpy()
    u,d,_ = np.linalg.svd(f-f.mean(0), full_matrices=False)
    for k,c in enumerate(ax.collections): close(np.abs(c.get_offsets()), np.abs(u*d)[yt==k,:2], 1e-5)
    axs = plot_top_losses(learn, k=12, dl=learn.dls.train)
    for ax,i in zip(axs, losses.argsort(descending=True).tolist()):
        close(ax.lines[0].get_ydata(), Xt[i,0], 1e-5)
