<<<<<<< HEAD
