//! Which part of a picture a crop keeps: that at a side or around a point, around what the file marks as its subject (`marks`), or
//! around what stands out (`saliency`).

pub(crate) mod saliency;

use crate::error::Error;
use crate::geometry::{Frame, Placement};
use crate::marks::Subject;
use crate::orientation::{Orientation, Point};
use crate::picture::{Decoded, Header};
use crate::spec::{Fit, Gravity, Position, Spec};
use saliency::Saliency;

/// A thumbnail that may have to wait for the pixels to say where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    frame: Frame,
    /// `None`: where the picture stands out.
    centre: Option<Point>,
}

impl Place {
    /// On a picture of `stored` columns and rows whose file marks `subject`.
    pub fn new(stored: (usize, usize), orientation: Orientation, subject: Option<Subject>, spec: &Spec) -> Self {
        let frame = Frame::new(stored, orientation, spec);
        let is_cropped = spec.fit == Fit::Cover && frame.crops();
        let centre = match spec.position {
            _ if !is_cropped => Some(Point::MIDDLE),
            Position::Gravity(gravity) => {
                let (x, y) = side(gravity);
                Some(orientation.stored(x, y))
            }
            Position::Focus(focus) => Some(orientation.stored(focus.x(), focus.y())),
            Position::Region => Some(subject.map_or(Point::MIDDLE, |subject| subject.centre(frame.shown()))),
            Position::Smart => subject.map(|subject| subject.centre(frame.shown())),
        };
        Self { frame, centre }
    }

    /// Whether the pixels must say where it lies.
    pub fn waits(&self) -> bool {
        self.centre.is_none()
    }

    /// What is needed of the picture; as large as the thumbnail, unless it waits.
    pub fn needed(&self) -> Placement {
        self.centre.map_or_else(|| self.frame.everywhere(), |centre| self.frame.at(centre))
    }

    /// As if it lay in the middle: for its size.
    pub fn anywhere(&self) -> Placement {
        self.frame.at(Point::MIDDLE)
    }

    fn settled(&self, saliency: Option<&Saliency>, orientation: Orientation) -> Placement {
        let found = || saliency.map_or(Point::MIDDLE, |saliency| saliency.centre(self.frame.shown(), orientation));
        self.frame.at(self.centre.unwrap_or_else(found))
    }
}

/// Settles where thumbnails lie on a decoded picture.
pub(crate) fn settle(places: &[Place], decoded: &Decoded, header: &Header) -> Result<Vec<Placement>, Error> {
    let waits = places.iter().any(Place::waits);
    let saliency = if waits { Some(Saliency::of(decoded, header)?) } else { None };
    Ok(places.iter().map(|place| place.settled(saliency.as_ref(), header.orientation)).collect())
}

/// A side or corner as a point of the upright picture: the window around it ends where the picture does.
fn side(gravity: Gravity) -> (f64, f64) {
    match gravity {
        Gravity::Center => (0.5, 0.5),
        Gravity::North => (0.5, 0.0),
        Gravity::Northeast => (1.0, 0.0),
        Gravity::East => (1.0, 0.5),
        Gravity::Southeast => (1.0, 1.0),
        Gravity::South => (0.5, 1.0),
        Gravity::Southwest => (0.0, 1.0),
        Gravity::West => (0.0, 0.5),
        Gravity::Northwest => (0.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{Area, Mark};
    use crate::spec::{Focus, Size};

    fn area(left: f64, top: f64, width: f64, height: f64) -> Area {
        Area::new(left, top, width, height).unwrap()
    }

    fn spec(width: u32, height: u32, position: Position) -> Spec {
        Spec { position, ..Spec::new(Size::new(width, height)) }
    }

    /// Left and top of the window in the upright picture, in parts of what is cut off: 0 to 1 where something is.
    fn upright(stored: (usize, usize), orientation: Orientation, spec: &Spec) -> (f64, f64) {
        let Placement { window, .. } = Place::new(stored, orientation, None, spec).needed();
        let part = |from: f64, length: f64, all: usize| {
            let free = all as f64 - length;
            if free > 0.0 { from / free } else { 0.5 }
        };
        let (mut x, mut y) = (part(window.left, window.width, stored.0), part(window.top, window.height, stored.1));
        // As the pixels are turned.
        if orientation.transpose {
            std::mem::swap(&mut x, &mut y);
        }
        (if orientation.flip_x { 1.0 - x } else { x }, if orientation.flip_y { 1.0 - y } else { y })
    }

    #[test]
    fn a_gravity_is_that_of_the_upright_picture_in_all_orientations() {
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            for gravity in Gravity::ALL {
                let (x, y) = side(*gravity);
                // Squares of a wide and of a high picture: one side is free.
                for stored in [(4000, 3000), (3000, 4000)] {
                    let wide = (stored.0 > stored.1) != orientation.transpose;
                    let expected = if wide { (x, 0.5) } else { (0.5, y) };
                    let spec = spec(400, 400, Position::Gravity(*gravity));
                    assert_eq!(
                        upright(stored, orientation, &spec),
                        expected,
                        "{gravity:?}, orientation {value}, {stored:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_point_is_that_of_the_upright_picture_in_all_orientations() {
        let spec = spec(400, 400, Position::Focus(Focus::new(0.4, 0.9).unwrap()));
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value).unwrap();
            let stored = if orientation.transpose { (1000, 4000) } else { (4000, 1000) };
            // A quarter of the width is shown: 0.275 to 0.525 of it.
            let (x, _) = upright(stored, orientation, &spec);
            assert!((x - 0.275 / 0.75).abs() < 1e-9, "orientation {value}: {x}");
        }
    }

    #[test]
    fn all_faces_are_shown_if_they_fit_else_the_largest() {
        let faces = [(Mark::Face, area(0.1, 0.1, 0.1, 0.2)), (Mark::Face, area(0.3, 0.1, 0.2, 0.2))];
        let others = [(Mark::Pet, area(0.9, 0.9, 0.1, 0.1)), (Mark::Focus, area(0.0, 0.9, 0.1, 0.1))];
        let subject = Subject::of(&[others[1], faces[0], others[0], faces[1]]).unwrap();
        assert_eq!(subject.centre((0.5, 1.0)), Point { x: 0.3, y: 0.2 });
        assert_eq!(subject.centre((0.3, 1.0)), Point { x: 0.4, y: 0.2 });
        assert_eq!(Subject::of(&others).unwrap().centre((1.0, 1.0)), others[0].1.centre());
        assert_eq!(Subject::of(&[]), None);
        let place =
            |position| Place::new((4000, 1000), Orientation::default(), Some(subject), &spec(400, 400, position));
        for position in [Position::Region, Position::Smart] {
            assert!(!place(position).waits());
            assert_eq!(place(position).needed().window.left, 0.4 * 4000.0 - 500.0);
        }
    }

    #[test]
    fn where_nothing_is_marked_a_region_is_the_middle_and_smart_waits() {
        let place = |size: (u32, u32), fit, position| {
            let spec = Spec { fit, ..spec(size.0, size.1, position) };
            Place::new((4000, 3000), Orientation::default(), None, &spec)
        };
        let region = place((400, 400), Fit::Cover, Position::Region);
        assert_eq!(region.needed().window.left, 500.0);
        let smart = place((400, 400), Fit::Cover, Position::Smart);
        assert!(smart.waits());
        assert_eq!((smart.needed().window.width, smart.needed().width, smart.needed().height), (4000.0, 534, 400));
        assert_eq!((smart.anywhere().width, smart.anywhere().window.left), (400, 500.0));
        // Where nothing is cut off, there is nothing to wait for.
        assert!(!place((400, 300), Fit::Cover, Position::Smart).waits());
        assert!(!place((400, 400), Fit::Contain, Position::Smart).waits());
    }
}
