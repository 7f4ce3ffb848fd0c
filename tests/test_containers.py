"Recordings from files that other libraries write, from those made to the layout of NinaPro, and from damaged ones"
import warnings
import edfio, h5py, numpy as np, pytest, scipy.io
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
    if path.suffix=='.mat': scipy.io.savemat(path, dict(emg=emg[:60]), do_compression='z' in path.stem)
    if path.suffix=='.h5':
        with h5py.File(path, 'w') as f: f['emg'] = emg[:60].T
    if path.suffix=='.npy': np.save(path, emg[:60].T)
    if path.suffix=='.npz': np.savez(path, emg=emg[:60].T)
    signals = [(emg[:60,i]/8, f's{i}') for i in range(3)]
    if path.suffix=='.edf': edfio.Edf([edfio.EdfSignal(x, 20, label=k) for x,k in signals]).write(path)
    if path.suffix=='.bdf': edfio.Bdf([edfio.BdfSignal(x, 20, label=k) for x,k in signals]).write(path)
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
            warnings.simplefilter('error') # the labels say which axis is time
            recs = read_recordings(path, key='emg', label='restimulus', groups='repetition')
        assert [x.shape for x in recs.X]==[(3,50)]*8 and recs.groups.tolist()==list('01010202')
        np.testing.assert_allclose(np.concatenate(recs.X, 1), emg.T, rtol=1e-6)
        assert np.concatenate(recs.labels).tolist()==move.ravel().astype(str).tolist()
        dls = TSDataLoaders.from_recordings(recs, None, .1, .05, rate=200, valid_groups=['2'],
                                            filters=Filters(notch=50, band=(20,80)), device='cpu')
        assert dls.vocab.tolist()==['0','1','2'] and dls.filters.rate==200

def test_matlab_of_version_73(tmp_path):
    with h5py.File(tmp_path/'new.mat', 'w', userblock_size=512) as f: f['emg'] = emg.T # axes in reverse
    data = (tmp_path/'new.mat').read_bytes()
    (tmp_path/'new.mat').write_bytes(b'MATLAB 7.3 MAT-file'.ljust(512)+data[512:])
    with pytest.warns(UserWarning, match=r'got shape \(400, 3\), taken for samples first'):
        recs = read_recordings(tmp_path/'new.mat')
    np.testing.assert_allclose(recs.X[0], emg.T, rtol=1e-6)
