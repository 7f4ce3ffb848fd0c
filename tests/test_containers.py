"Recordings from files of other libraries, from files in the layout of NinaPro, and from damaged files"
import struct, warnings
import edfio, h5py, numpy as np, pandas as pd, pytest, scipy.io
from xceptiontime.data.loaders import TSDataLoaders
from xceptiontime.data.recordings import read_recordings
from xceptiontime.processing.filters import Filters

rng = np.random.default_rng(0)
emg = rng.normal(size=(400,3)) # (samples, channels), as NinaPro has it
move = np.repeat([0,1,0,2,0,1,0,2], 50)[:,None].astype(np.int16)
again = np.repeat([0,1,0,1,0,2,0,2], 50)[:,None].astype(np.uint8)
ninapro = dict(emg=emg, acc=rng.normal(size=(400,6)), stimulus=move, restimulus=move, repetition=again,
               rerepetition=again, subject=np.array([[1]]))

def write(path):
    "A small file of each kind"
    if path.suffix=='.mat':
        scipy.io.savemat(path, dict(emg=emg[:60]), do_compression='z' in path.stem)
    if path.suffix=='.h5':
        with h5py.File(path, 'w') as f: f['emg'] = emg[:60].T
    if path.suffix=='.npy': np.save(path, emg[:60].T)
    if path.suffix=='.npz': np.savez(path, emg=emg[:60].T)
    signals = [(emg[:60,i]/8, f's{i}') for i in range(3)]
    if path.suffix=='.edf':
        edfio.Edf([edfio.EdfSignal(x, 20, label=k) for x,k in signals]).write(path)
    if path.suffix=='.bdf':
        edfio.Bdf([edfio.BdfSignal(x, 20, label=k) for x,k in signals]).write(path)
    return path

NAMES = ['s.mat','z.mat','s.h5','s.npy','s.npz','s.edf','s.bdf']

@pytest.mark.parametrize('name', NAMES)
def test_damaged_files(tmp_path, name):
    path = write(tmp_path/name)
    kwargs = dict(time_first=True) if name.endswith('.mat') else {}
    whole = read_recordings(path, **kwargs).X[0]
    scale = 8 if path.suffix in ('.edf','.bdf') else 1
    np.testing.assert_allclose(whole*scale, emg[:60].T, atol=1e-3)
    data = path.read_bytes()
    for n in range(0, len(data), 50):
        path.write_bytes(data[:n])
        try: x = read_recordings(path, **kwargs).X[0]
        except ValueError as e: assert '\n' not in str(e) and len(str(e))<300 and name in str(e)
        else: np.testing.assert_array_equal(x, whole)

def test_ninapro(tmp_path):
    scipy.io.savemat(tmp_path/'S1_E1_A1.mat', ninapro)
    with h5py.File(tmp_path/'S1_E1_A1.h5', 'w') as f:
        for k,v in ninapro.items(): f[k] = v
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="expected key= with the array of the recording, of '"):
            read_recordings(path, label='restimulus')
        with warnings.catch_warnings():
            warnings.simplefilter('error') # the length of the labels shows the axis of time
            recs = read_recordings(path, key='emg', label='restimulus', groups='repetition')
        assert [x.shape for x in recs.X]==[(3,50)]*8 and recs.groups.tolist()==list('01010202')
        np.testing.assert_allclose(np.concatenate(recs.X, 1), emg.T, rtol=1e-6)
        assert np.concatenate(recs.labels).tolist()==move.ravel().astype(str).tolist()
        dls = TSDataLoaders.from_recordings(recs, None, .1, .05, rate=200, valid_groups=['2'],
                                            filters=Filters(notch=50, band=(20,80)), device='cpu')
        assert dls.vocab.tolist()==['0','1','2'] and dls.filters.rate==200

def test_matlab_of_version_73(tmp_path):
    with h5py.File(tmp_path/'new.mat', 'w', userblock_size=512) as f:
        f['emg'] = emg.T # axes in reverse
    data = (tmp_path/'new.mat').read_bytes()
    (tmp_path/'new.mat').write_bytes(b'MATLAB 7.3 MAT-file'.ljust(512)+data[512:])
    with pytest.warns(UserWarning, match=r'got shape \(400, 3\), taken for samples first'):
        recs = read_recordings(tmp_path/'new.mat')
    np.testing.assert_allclose(recs.X[0], emg.T, rtol=1e-6)

def edf(path, names=('left','right'), rate=200, notes=(), unit='mV', seconds=3):
    "A file of sine signals with `names`"
    t = np.arange(seconds*rate)/rate
    kind,signal = (edfio.Bdf,edfio.BdfSignal) if path.suffix=='.bdf' else (edfio.Edf,edfio.EdfSignal)
    signals = [signal(np.sin(t*(i+1)), rate, label=k, physical_dimension=unit)
               for i,k in enumerate(names)]
    kind(signals, annotations=[edfio.EdfAnnotation(*o) for o in notes]).write(path)
    return path

NOTES = [(0,1,'rest'), (1,.505,'fist'), (2.25,5,'rest')]

@pytest.mark.parametrize('end', ['edf','bdf'])
def test_annotations_are_labels(tmp_path, end):
    path = edf(tmp_path/f'a.{end}', notes=NOTES)
    with pytest.warns(UserWarning, match='label: expected one in each row, got none in 149 of 600; those are left out'):
        recs = read_recordings(path, label='annotations')
    assert [l.tolist() for l in recs.labels]==[['rest']*200+['fist']*101, ['rest']*150]
    t = np.arange(600)/200
    for x,(a,b) in zip(recs.X, ((0,301), (450,600))):
        np.testing.assert_allclose(x, [np.sin(t[a:b]), np.sin(2*t[a:b])], atol=1e-3)
    assert recs.groups.tolist()==[0,0]
    assert (recs.rate,recs.channels,recs.units)==(200,['left','right'],['mV']*2)
    dls = TSDataLoaders.from_recordings(recs, None, .2, .1, rate=200, splits=dict(ordered=True),
                                        device='cpu')
    assert dls.vocab.tolist()==['fist','rest']
    assert read_recordings(path).labels is None

@pytest.mark.parametrize('notes,words', [
    ([], 'expected annotations with a duration as labels, got none'),
    ([(1,None,'button')], 'expected annotations with a duration as labels, got 1 without'),
    ([(0,2,'rest'), (1.5,1,'fist')],
     "expected one annotation at a time, got 'rest' and 'fist' at 1.5 s"),
])
def test_annotations_that_are_no_labels(tmp_path, notes, words):
    with pytest.raises(ValueError) as e:
        read_recordings(edf(tmp_path/'a.edf', notes=notes), label='annotations')
    assert words in str(e.value) and len(str(e.value))<300

def test_annotations_without_a_duration(tmp_path):
    path = edf(tmp_path/'a.edf', notes=[(0,3,'rest'), (1,None,'button'), (2,None,'button')])
    said = "annotations: expected a duration, got none in 2 of 3, as in 'button' at 1 s; they label no sample"
    with pytest.warns(UserWarning, match=said): recs = read_recordings(path, label='annotations')
    assert recs.labels[0].tolist()==['rest']*600

def test_several_files(tmp_path):
    a,b = (edf(tmp_path/f'{k}.edf', notes=NOTES[:2]+[(1.505,2,'rest')]) for k in ('ann','bob'))
    recs = read_recordings([a,b], label='annotations', groups=['ann','bob'])
    assert recs.files==[a,b]
    assert recs.ids.tolist()==recs.groups.tolist()==['ann','bob']
    assert recs.rate==200
    for x,p in zip(recs.X, (a,b)): np.testing.assert_array_equal(x, read_recordings(p).X[0])
    assert recs.labels[1].tolist()==['rest']*200+['fist']*101+['rest']*299
    dls = TSDataLoaders.from_file([a,b], label='annotations', groups=['ann','bob'], length=40,
                                  device='cpu')
    assert dls.channels==['left','right'] and dls.rate==200
    assert [*map(len, (dls.train_ds, dls.valid_ds))]==[15,15] # one person in each part

@pytest.mark.parametrize('other,words', [
    (dict(names=('right','left')), "bob.edf: expected channels 'left', 'right' as in "),
    (dict(names=('left','right','up')), "got 'left', 'right', 'up'"),
    (dict(rate=1000), 'got 1000; resample_recording(x, rate, 200) resamples the recordings of '),
    (dict(unit='uV'), "bob.edf: expected units 'mV', 'mV' as in "),
])
def test_files_that_do_not_agree(tmp_path, other, words):
    with pytest.raises(ValueError) as e:
        read_recordings([edf(tmp_path/'ann.edf'), edf(tmp_path/'bob.edf', **other)])
    assert words in str(e.value) and len(str(e.value))<300 and '\n' not in str(e.value)

def test_several_tables(tmp_path):
    parts = [pd.DataFrame(dict(ax=np.arange(8.)**2+i, y=list('aabbaabb'),
                               id=[1]*4+[2]*4)) for i in (0,1)]
    paths = [tmp_path/f'{i}.csv' for i in (0,1)]
    for p,df in zip(paths, parts): df.to_csv(p, index=False)
    recs = read_recordings(paths, label='y', id='id')
    assert recs.files==[paths[0]]*2+[paths[1]]*2
    assert recs.ids.tolist()==['1','2']*2
    assert recs.groups is None
    np.testing.assert_array_equal(recs.X[3][0], np.arange(4,8)**2+1)
    gaps = [df.assign(y=['a','a',None,'b','b',None,'a','a']) for df in parts]
    for p,df in zip(paths, gaps): df.to_csv(p, index=False)
    with pytest.warns(UserWarning, match='label: expected one in each row'):
        recs = read_recordings(paths, label='y', id='id')
    assert recs.files==[paths[0]]*4+[paths[1]]*4
    assert [len(set(recs.groups[[i,i+1]])) for i in (0,2,4,6)]==[1]*4
    assert len(set(recs.groups))==4 # pieces of one recording are one group, those of two files are not

def test_arguments_of_other_files(tmp_path):
    path = edf(tmp_path/'a.edf')
    for k in ('groups','key'):
        with pytest.raises(ValueError,
                           match=f"a.edf: expected no {k}= for a file of its kind, got 'x'"):
            read_recordings(path, **{k: 'x'})
    with pytest.raises(ValueError, match='expected no columns= for a file of its kind'):
        read_recordings(write(tmp_path/'s.npz'), columns=['emg'])

def named(path, **about):
    "A file of each kind with rate, names and units"
    x = emg[:60].T # (channels, samples)
    if path.suffix=='.mat': scipy.io.savemat(path, dict(emg=x, **about))
    if path.suffix=='.npz': np.savez(path, emg=x, **about)
    if path.suffix=='.h5':
        with h5py.File(path, 'w') as f: f.create_dataset('emg', data=x).attrs.update(about)
    return path

@pytest.mark.parametrize('name', ['s.mat','s.npz','s.h5'])
def test_names_units_and_rate_of_a_file(tmp_path, name):
    about = dict(fs=2000., channels=['left','mid','right'], units=['mV','mV','g'])
    recs = read_recordings(named(tmp_path/name, **about), key='emg')
    assert (recs.channels,recs.units,recs.rate)==(['left','mid','right'], ['mV','mV','g'], 2000)
    recs = read_recordings(named(tmp_path/name), key='emg')
    assert recs.channels is recs.units is recs.rate is None

def test_a_small_file_with_a_large_array(tmp_path):
    with h5py.File(tmp_path/'s.h5', 'w') as f:
        f.create_dataset('emg', shape=(2,2_000_000), dtype='f8',
                         chunks=(2,500_000)) # no values are stored
    with pytest.raises(ValueError, match="expected as many values in 'emg' as are stored, got"):
        read_recordings(tmp_path/'s.h5')
    data = write(tmp_path/'s.mat').read_bytes()
    assert data.count(struct.pack('<ii', 60, 3))==1 # the shape in the header
    (tmp_path/'s.mat').write_bytes(data.replace(struct.pack('<ii', 60, 3),
                                                struct.pack('<ii', 60, 10**8)))
    with pytest.raises(ValueError, match="expected an array as large as the file in 'emg', got"):
        read_recordings(tmp_path/'s.mat')

def test_links_of_hdf5(tmp_path):
    np.save(tmp_path/'other.npy', emg)
    with h5py.File(tmp_path/'s.h5', 'w') as f:
        f.create_dataset('emg', shape=(3,60), dtype='f8',
                         external=[(str(tmp_path/'other.npy'), 128, 3*60*8)])
    with pytest.raises(ValueError,
                       match='expected numbers in the file itself, got a link to another'):
        read_recordings(tmp_path/'s.h5')

def test_edf_with_gaps_or_one_name_twice(tmp_path):
    path = edf(tmp_path/'a.edf', notes=NOTES)
    data = path.read_bytes()
    assert data[192:197]==b'EDF+C'
    path.write_bytes(data[:192]+b'EDF+D'+data[197:])
    with pytest.raises(ValueError, match='expected a recording without gaps, got EDF'):
        read_recordings(path)
    with pytest.raises(ValueError, match="expected signals with different names, got 'left'"):
        read_recordings(edf(tmp_path/'b.edf', names=('left','left')))
    path = edf(tmp_path/'c.edf')
    path.write_bytes(path.read_bytes()[:-400]) # the last second is missing
    with pytest.raises(ValueError, match='c.edf: expected a complete file of its format, got'): read_recordings(path)

def test_cells_are_no_recording(tmp_path):
    "The labels beside them are not taken for one"
    trials = np.empty(3, object)
    for i in range(3): trials[i] = np.random.default_rng(i).normal(size=(2,30+i))
    scipy.io.savemat(tmp_path/'a.mat', dict(trials=trials, y=[1,2,3]))
    with pytest.raises(ValueError, match="a.mat: expected an array with the recording, .* got cells in 'trials'"):
        read_recordings(tmp_path/'a.mat')
    scipy.io.savemat(tmp_path/'b.mat', dict(trials=trials, emg=np.zeros((2,40)), y=[1,2,3]))
    assert read_recordings(tmp_path/'b.mat').X[0].shape==(2,40)
    names = np.array(['left','right'], object)
    scipy.io.savemat(tmp_path/'c.mat', dict(names=names, emg=np.zeros((1,40))))
    assert read_recordings(tmp_path/'c.mat').X[0].shape==(1,40)

def test_rate_in_a_structure(tmp_path):
    emg = np.random.default_rng(0).normal(size=(2,40))
    scipy.io.savemat(tmp_path/'a.mat', dict(data=dict(data=emg, srate=250)))
    assert read_recordings(tmp_path/'a.mat').rate==250
    scipy.io.savemat(tmp_path/'b.mat', dict(data=dict(data=emg, srate=250), srate=500))
    assert read_recordings(tmp_path/'b.mat').rate==500
    scipy.io.savemat(tmp_path/'c.mat', dict(data=emg, heart=dict(rate=70)))
    assert read_recordings(tmp_path/'c.mat').rate is None
