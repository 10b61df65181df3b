
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Budget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('scope', models.CharField(choices=[('global', 'Everything'), ('app', 'App'), ('model', 'Model'), ('tag', 'Tag'), ('session', 'Session')], default='global', max_length=20)),
                ('pattern', models.CharField(blank=True, help_text='The app, model, tag or session; * and ? stand for any text.', max_length=200)),
                ('unit', models.CharField(choices=[('usd', 'US dollars'), ('tokens', 'Tokens')], default='usd', max_length=10)),
                ('limit', models.DecimalField(decimal_places=10, max_digits=20)),
                ('period', models.CharField(choices=[('hourly', 'Hourly'), ('daily', 'Daily'), ('weekly', 'Weekly'), ('monthly', 'Monthly'), ('total', 'Total')], default='monthly', max_length=10)),
                ('time_zone', models.CharField(default='UTC', help_text='Where its days begin, for example Europe/Berlin.', max_length=64)),
                ('action', models.CharField(choices=[('block', 'Block'), ('warn', 'Warn'), ('notify', 'Notify')], default='block', max_length=10)),
                ('threshold', models.PositiveSmallIntegerField(default=80, help_text='Per cent of the limit from which answers carry a warning.')),
                ('webhook_url', models.CharField(blank=True, max_length=500)),
                ('webhook_secret', models.CharField(blank=True, max_length=200)),
                ('active', models.BooleanField(default=True)),
                ('killed', models.BooleanField(default=False, help_text='Blocks the scope at once, whatever was spent and whatever the action is.', verbose_name='kill switch')),
                ('reset_at', models.DateTimeField(blank=True, help_text='The period was begun anew by hand at this moment.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'tw_budget',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='BudgetCounter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('period_start', models.DateTimeField()),
                ('spent', models.BigIntegerField(default=0)),
                ('leased', models.BigIntegerField(default=0)),
                ('checked_at', models.DateTimeField(blank=True, null=True)),
                ('budget', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='counters', to='budgets.budget')),
            ],
            options={
                'db_table': 'tw_budget_counter',
            },
        ),
        migrations.CreateModel(
            name='BudgetLease',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('worker', models.CharField(max_length=64)),
                ('amount', models.BigIntegerField()),
                ('expires_at', models.DateTimeField()),
                ('counter', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='leases', to='budgets.budgetcounter')),
            ],
            options={
                'db_table': 'tw_budget_lease',
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(choices=[('approaching', 'Approaching'), ('exceeded', 'Exceeded')], max_length=20)),
                ('period_start', models.DateTimeField()),
                ('url', models.CharField(max_length=500)),
                ('payload', models.TextField()),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField()),
                ('response_status', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('last_error', models.CharField(blank=True, max_length=500)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('delivered_at', models.DateTimeField(blank=True, null=True)),
                ('budget', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='budgets.budget')),
            ],
            options={
                'verbose_name_plural': 'webhook deliveries',
                'db_table': 'tw_webhook_delivery',
                'ordering': ['-created_at'],
            },
        ),
        migrations.AddConstraint(
            model_name='budgetcounter',
            constraint=models.UniqueConstraint(fields=('budget', 'period_start'), name='tw_counter_period'),
        ),
        migrations.AddIndex(
            model_name='budgetlease',
            index=models.Index(fields=['worker'], name='tw_lease_worker'),
        ),
        migrations.AddIndex(
            model_name='budgetlease',
            index=models.Index(fields=['expires_at'], name='tw_lease_expires'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['state', 'next_attempt_at'], name='tw_delivery_due'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['created_at'], name='tw_delivery_created'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(fields=('budget', 'period_start', 'event'), name='tw_delivery_once'),
        ),
    ]
