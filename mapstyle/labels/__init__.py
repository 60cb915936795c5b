"""Labels: words shaped, placed by local rounds, and drawn over the art."""
