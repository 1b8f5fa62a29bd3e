-- Stops and targets stand on the position they protect, as scaled prices; NULL is none, and a flat position has none.
-- What armed them is in the action's payload and the fill's price, so that the audit can compute them again.
ALTER TABLE prop_positions ADD COLUMN stop INTEGER CHECK (stop IS NULL OR (stop > 0 AND size <> 0));
ALTER TABLE prop_positions ADD COLUMN target INTEGER CHECK (target IS NULL OR (target > 0 AND size <> 0));
