"""Answers: engines, decoding, the suggester, and the HTTP edge. It knows no training and no evaluation."""
