"""What goes beyond one picture in one pass: batches of portraits, small faces made anew."""
