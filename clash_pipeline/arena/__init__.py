"""The Arena: auditions, the promotion queue, slots, strikes, retirement, the Hall of Fame, and the races (05, 11)."""
