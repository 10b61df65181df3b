"""Pages of the dashboard port."""

from django.contrib import admin
from django.urls import include, path

from dashboard.metrics import show_metrics

urlpatterns = [
    path("", include("dashboard.urls")),
    path("metrics", show_metrics, name="metrics"),
    path("admin/", admin.site.urls),
]
