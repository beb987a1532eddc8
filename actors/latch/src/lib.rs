//! The kill switch as a value: a latch, and the permit around the one write of an order.
