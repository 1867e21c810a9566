//! Giving rows back: the images of a change set put in place again, verified byte for byte before COMMIT.
