//! Golden vectors, and what is refused. `TIDEGATE_VECTORS` names the folder; without it, that of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::{Error, Model, Stream};

fn stems() -> Vec<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors");
    let folder = std::env::var_os("TIDEGATE_VECTORS").map_or(checkout, PathBuf::from);
    let entries = fs::read_dir(folder).expect("a folder of golden vectors");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().map_or(false, |ending| ending == "tide"));
    paths.sort();
    assert!(paths.len() > 30);
    paths
}

fn floats(path: &Path, ending: &str) -> Vec<f32> {
    let bytes = fs::read(path.with_extension(ending)).unwrap();
    bytes.chunks(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn slices(parts: &mut [Vec<f32>]) -> Vec<&mut [f32]> {
    parts.iter_mut().map(|part| part.as_mut_slice()).collect()
}

/// What a golden vector has: all answers of each output, then the states.
struct Replay {
    model: Model,
    all: Vec<Vec<f32>>,
}

impl Replay {
    fn add(&mut self, sizes: Vec<usize>, call: impl FnOnce(&mut [&mut [f32]]) -> Result<(), Error>) {
        let mut parts: Vec<Vec<f32>> = sizes.into_iter().map(|size| vec![0.0; size]).collect();
        call(&mut slices(&mut parts)).unwrap();
        for (i, part) in parts.into_iter().enumerate() {
            if !self.model.output_timed(i) && !part.is_empty() {
                self.all[i].clear();
            }
            self.all[i].extend(part);
        }
    }

    fn push(&mut self, stream: &mut Stream, frames: &[f32]) {
        let count = frames.len() / self.model.width();
        let sizes = (0..self.model.outputs()).map(|i| stream.answers(count, i)).collect();
        self.add(sizes, |outputs| stream.push(frames, outputs));
    }

    fn end(mut self, stream: &mut Stream) -> Vec<f32> {
        let sizes = (0..self.model.outputs()).map(|i| stream.rest(i)).collect();
        self.add(sizes, |outputs| stream.finish(outputs));
        let states = (0..self.model.states()).map(|i| stream.state(i));
        self.all.into_iter().chain(states).flatten().collect()
    }
}

/// In pushes of `piece` frames; half way the stream goes on as its fork, and that from its snapshot.
fn answers(model: &Model, frames: &[f32], piece: usize) -> Vec<f32> {
    let mut replay = Replay { model: model.clone(), all: vec![Vec::new(); model.outputs()] };
    let mut stream = model.stream();
    for (i, chunk) in frames.chunks(piece * model.width()).enumerate() {
        replay.push(&mut stream, chunk);
        if 2 * i * piece * model.width() < frames.len() {
            let snapshot = stream.fork().unwrap().snapshot();
            stream = model.stream();
            stream.restore(&snapshot).unwrap();
        }
    }
    assert_eq!(stream.frames() as usize, frames.len() / model.width());
    replay.end(&mut stream)
}

#[test]
fn golden_vectors_have_the_same_bits() {
    for stem in stems() {
        let model = Model::load(&fs::read(&stem).unwrap()).unwrap();
        let (frames, wanted) = (floats(&stem, "frames"), floats(&stem, "answers"));
        for piece in [1, 7, 1 << 20] {
            assert!(bits(&answers(&model, &frames, piece)) == bits(&wanted), "{} by {}", stem.display(), piece);
        }
    }
}

#[test]
fn a_damaged_plan_or_snapshot_is_refused_by_its_field() {
    let mut plan = fs::read(&stems()[0]).unwrap();
    let model = Model::load(&plan).unwrap();
    let middle = plan.len() / 2;
    plan[middle] ^= 1;
    let error = Model::load(&plan).err().unwrap();
    assert!(error.to_string().starts_with("the plan is refused for its hash, which is 0x"), "{}", error);
    assert!(matches!(Model::load(&[]), Err(Error::Plan(_))));

    let mut stream = model.stream();
    let mut snapshot = stream.snapshot();
    assert!(stream.restore(&snapshot[1..]).is_err());
    snapshot[20] ^= 1;
    assert!(matches!(stream.restore(&snapshot), Err(Error::Snapshot(_))));
    assert!(matches!(stream.restore(&[]), Err(Error::Snapshot(_))));
}

#[test]
fn a_refused_push_leaves_the_stream_as_it_was() {
    let model = Model::load(&fs::read(&stems()[0]).unwrap()).unwrap();
    let mut stream = model.stream();
    let before = stream.snapshot();
    let mut frame = vec![0.0; model.width()];
    let mut outputs: Vec<Vec<f32>> = (0..model.outputs()).map(|i| vec![0.0; stream.answers(1, i)]).collect();
    assert!(matches!(stream.push(&frame, &mut []), Err(Error::Size { what: "the list of outputs", .. })));
    frame[0] = f32::NAN;
    assert_eq!(stream.push(&frame, &mut slices(&mut outputs)), Err(Error::Input));
    assert_eq!((stream.frames(), stream.refused()), (0, 1));
    stream.reset();
    assert!(stream.set_state(0, &[]).is_err());
    assert_eq!(stream.snapshot(), before);
}

#[test]
fn rows_of_a_group_answer_as_streams() {
    let mut tried = 0;
    for stem in stems() {
        let model = Model::load(&fs::read(&stem).unwrap()).unwrap();
        let mut group = match model.group(3) {
            Ok(group) => group,
            Err(error) => {
                assert_eq!(error, Error::Group); // it looks ahead
                continue;
            }
        };
        let frames = &floats(&stem, "frames")[..2 * model.width()];
        let mut stream = model.stream();
        let mut alone: Vec<_> = (0..model.outputs()).map(|i| vec![0.0; stream.answers(2, i)]).collect();
        stream.push(frames, &mut slices(&mut alone)).unwrap();

        let twice = [frames, frames].concat();
        let mut both: Vec<_> = alone.iter().map(|part| vec![0.0; 2 * part.len()]).collect();
        let results: Vec<_> = group.push(&[2, 0], &twice, 2, &mut slices(&mut both)).unwrap().collect();
        assert_eq!(results, [Ok(()), Ok(())]);
        for (seen, wanted) in both.iter().zip(&alone) {
            assert_eq!(bits(seen), bits(&[&wanted[..], &wanted[..]].concat()));
        }
        group.leave(0).unwrap();
        let results: Vec<_> = group.push(&[2, 0], &twice, 2, &mut slices(&mut both)).unwrap().collect();
        assert_eq!(results, [Ok(()), Err(Error::Row)]);
        let half = usize::MAX / 2 + 1; // twice as many are 0 in a usize
        let refused = group.push(&[2, 0], &[], half, &mut slices(&mut both)).err();
        assert!(matches!(refused, Some(Error::Size { what: "the frames", .. })));
        assert!(stream.answers(half, 0) >= if model.output_timed(0) { half } else { 1 });
        assert_eq!((group.frames(2), group.frames(0), group.join(9)), (Ok(4), Err(Error::Row), Err(Error::Row)));
        tried += 1;
    }
    assert!(tried > 10);
}

#[test]
fn a_model_serves_threads_and_a_stream_moves_between_them() {
    let stem = &stems()[0];
    let model = Model::load(&fs::read(stem).unwrap()).unwrap();
    let (frames, wanted) = (floats(stem, "frames"), floats(stem, "answers"));
    std::thread::scope(|scope| {
        for piece in 1..5 {
            let (model, frames, wanted) = (&model, &frames, &wanted);
            scope.spawn(move || assert!(bits(&answers(model, frames, piece)) == bits(wanted)));
        }
    });
    assert_eq!(tidegate::version(), env!("CARGO_PKG_VERSION"));
}
