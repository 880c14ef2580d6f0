"""What any program needs: errors and exit status, devices, compilation, atomic files, terminal."""
